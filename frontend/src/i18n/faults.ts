/** What the server says of a request that it refuses, in the reader's language.
 *
 * The server writes one English sentence a fault, with the field and the fix, in rooms that also speak at
 * a command line. Here its shape is the key: `{holes}` are taken out of the sentence and put into its
 * twin. A sentence without a twin is shown as it is. A test of the server's keeps both sides together. */
import uk from './uk.fault.json'

interface Twin {
  shape: RegExp
  names: string[]
  text: string
}

const HOLE = /\{(\w+)\}/g
/** A place within a fault ("route 2: …") and what follows are twins of their own; no deeper than that. */
const DEEP_MAX = 3

function twinOf([sentence, text]: [string, string]): Twin {
  const names = [...sentence.matchAll(HOLE)].map((m) => m[1])
  const parts = sentence.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  // A name ends at a colon: what follows is the next place.
  const shape = parts.reduce((all, part, i) => `${all}${names[i - 1] === 'name' || names[i - 1] === 'n' ? '([^:]+?)' : '([^]+?)'}${part}`)
  return { shape: new RegExp(`^${shape}$`, 'i'), names, text }
}

/** What fills a hole: a twin itself, or several places with colons between them. */
function filled(value: string, depth: number): string {
  if (depth >= DEEP_MAX) return value
  return twin(value, depth + 1) ?? value.split(': ').map((part) => twin(part, depth + 1) ?? part).join(': ')
}

/** The most words first, so that a general shape does not swallow a special one. */
const TWINS = Object.entries(uk)
  .sort(([a], [b]) => b.replace(HOLE, '').length - a.replace(HOLE, '').length)
  .map(twinOf)

function twin(text: string, depth: number): string | null {
  for (const one of TWINS) {
    const match = one.shape.exec(text)
    if (match === null) continue
    const values = new Map(one.names.map((name, i) => [name, filled(match[i + 1], depth)]))
    return one.text.replace(HOLE, (all, name: string) => values.get(name) ?? all)
  }
  return null
}

/** The sentence in Ukrainian, or as it is. */
export function inUkrainian(sentence: string): string {
  const bare = sentence.replace(/\.$/, '')
  const said = twin(bare, 0)
  return said === null ? sentence : `${said.charAt(0).toUpperCase()}${said.slice(1)}.`
}
