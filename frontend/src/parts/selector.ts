/** Label matchers as people write them, fitted against hosts: a preview of what the server will say. Pure. */
import type { Matcher } from '../api/types'

const ONE = /^\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(,|$)/

/** The matchers of `text`; `null` for what is not (yet) a list of matchers. */
export function parseMatchers(text: string): Matcher[] | null {
  let rest = text.trim()
  if (rest.startsWith('{')) {
    if (!rest.endsWith('}')) return null
    rest = rest.slice(1, -1).trim()
  }
  const found: Matcher[] = []
  while (rest !== '') {
    const one = ONE.exec(rest)
    if (!one) return null
    found.push({ name: one[1], op: one[2], value: one[3].slice(1, -1).replace(/\\(.)/g, '$1') })
    rest = rest.slice(one[0].length).trim()
  }
  return found
}

/** Whether all matchers fit; `null` where a pattern is none that this browser knows. */
export function fits(matchers: readonly Matcher[], name: string, labels: Readonly<Record<string, string>>): boolean | null {
  for (const m of matchers) {
    const value = m.name === 'instance' ? name : (labels[m.name] ?? '')
    let fit: boolean
    if (m.op === '=' || m.op === '!=') fit = value === m.value
    else {
      try {
        fit = new RegExp(`^(?:${m.value})$`, 's').test(value)
      } catch {
        return null
      }
    }
    if (fit !== (m.op === '=' || m.op === '=~')) return false
  }
  return true
}

/** `text` with one more matcher, or without it where it is there already. */
export function toggleMatcher(text: string, name: string, value: string): string {
  const had = parseMatchers(text)
  if (had === null) return text
  const same = (m: Matcher): boolean => m.name === name && m.op === '=' && m.value === value
  const next = had.some(same) ? had.filter((m) => !same(m)) : [...had.filter((m) => !(m.name === name && m.op === '=')), { name, op: '=', value }]
  return next.map((m) => `${m.name}${m.op}"${m.value.replace(/["\\]/g, '\\$&')}"`).join(', ')
}
