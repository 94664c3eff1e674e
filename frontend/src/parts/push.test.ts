import { describe, expect, it } from 'vitest'
import { contactName, keyBytes, madeWith } from './push'

describe('web push', () => {
  it('reads a key that is written in base64url', () => {
    expect([...keyBytes('BP-_AA')]).toEqual([4, 255, 191, 0])
  })

  it('names this browser by its subscription', async () => {
    const name = await contactName('https://push.example/1')
    expect(name).toMatch(/^browser-[0-9a-f]{8}$/)
    expect(await contactName('https://push.example/1')).toBe(name)
    expect(await contactName('https://push.example/2')).not.toBe(name)
  })

  it('knows by which key it was subscribed', () => {
    const made = (key: ArrayBuffer | null): PushSubscription => ({ options: { applicationServerKey: key } }) as PushSubscription
    expect(madeWith(made(keyBytes('BP-_AA').buffer), 'BP-_AA')).toBe(true)
    expect(madeWith(made(keyBytes('BP-_BA').buffer), 'BP-_AA')).toBe(false)
    expect(madeWith(made(null), 'BP-_AA')).toBe(false)
  })
})
