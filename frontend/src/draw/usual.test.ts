import { describe, expect, it } from 'vitest'
import { isOutside, usualAt } from './usual'

describe('what is usual', () => {
  const usual = { slotS: 43_200, low: [1, null], high: [5, 9] }
  it('is known by the time of day', () => {
    expect(usualAt(usual, 0)).toEqual([1, 5])
    expect(usualAt(usual, 86_400 * 20_000 + 43_199)).toEqual([1, 5])
  })
  it('is left by what a chart can show, and not by less', () => {
    expect(isOutside(0.6, [0.03, 0.22], 100)).toBe(false)
    expect(isOutside(22.4, [22, 22.3], 100)).toBe(false)
    expect(isOutside(56, [3, 23], 100)).toBe(true)
    expect(isOutside(0, [20, 40], 100)).toBe(true)
    expect(isOutside(6, [1, 5], 0)).toBe(true)
  })
  it('is nothing where too little is known', () => {
    expect(usualAt(usual, 43_200)).toBeNull()
    expect(usualAt({ slotS: 900, low: [], high: [] }, 1000)).toBeNull()
  })
})
