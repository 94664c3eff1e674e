import { describe, expect, it } from 'vitest'
import { usualAt } from './usual'

describe('what is usual', () => {
  const usual = { slotS: 43_200, low: [1, null], high: [5, 9] }
  it('is known by the time of day', () => {
    expect(usualAt(usual, 0)).toEqual([1, 5])
    expect(usualAt(usual, 86_400 * 20_000 + 43_199)).toEqual([1, 5])
  })
  it('is nothing where too little is known', () => {
    expect(usualAt(usual, 43_200)).toBeNull()
    expect(usualAt({ slotS: 900, low: [], high: [] }, 1000)).toBeNull()
  })
})
