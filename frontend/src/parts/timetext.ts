/** Times as people type them. Pure. */

/** "9:5" is left, for it is unsure; "9:05", "905", "0905" and "9.05" are 09:05. */
export function tidyTime(text: string): string {
  const match = /^(\d{1,2})[:.]?([0-5]\d)$/.exec(text.trim())
  if (match === null || Number(match[1]) > 23) return text
  return `${match[1].padStart(2, '0')}:${match[2]}`
}

/** A day and a time, as `<input type=datetime-local>` has it; what is no such thing is left as it is. */
export function tidyMoment(text: string): string {
  const match = /^(\d{4})-(\d{1,2})-(\d{1,2})[T\s]+(\S+)$/.exec(text.trim())
  if (match === null) return text.replace(' ', 'T')
  const [, year, month, day, time] = match
  return `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}T${tidyTime(time)}`
}
