/** This browser as a contact of the person: subscribing, its name, the key's bytes. */

/** What the browser must be given to subscribe: the bytes of base64url. */
export function keyBytes(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = new Uint8Array(plain.length)
  for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i)
  return bytes
}

/** The name of the contact that is this browser: the same as long as its subscription is. */
export async function contactName(endpoint: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(endpoint)))
  return `browser-${[...digest.subarray(0, 4)].map((b) => b.toString(16).padStart(2, '0')).join('')}`
}

/** Whether a subscription was made with this key; another key's is worth nothing. */
export function madeWith(subscription: PushSubscription, key: string): boolean {
  const has = subscription.options.applicationServerKey
  if (!has) return false
  const bytes = new Uint8Array(has)
  const wanted = keyBytes(key)
  return bytes.length === wanted.length && bytes.every((b, i) => b === wanted[i])
}
