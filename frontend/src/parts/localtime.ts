/** A moment (seconds since 1970) for `<input type=datetime-local>`: local time without a zone. */
export function localTime(at: number): string {
  const offset = new Date(at * 1000).getTimezoneOffset() * 60
  return new Date((at - offset) * 1000).toISOString().slice(0, 16)
}
