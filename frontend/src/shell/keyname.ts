/** A key press as the name by which it is bound. Pure. */

export type Press = Pick<KeyboardEvent, 'key' | 'code' | 'ctrlKey' | 'metaKey' | 'shiftKey'>

/** Signs that a Ukrainian layout has letters (or, for the slash, a full stop) in the place of. */
const SIGNS: Record<string, string> = { Comma: ',', Slash: '/', Period: '.', BracketLeft: '[', BracketRight: ']' }

/** `led` says that `g` was pressed just before. */
export function keyName(event: Press, led: boolean): string {
  // On a Ukrainian layout the letters differ: the key's place on the keyboard counts.
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1].toLowerCase()
  let name = letter && !/^[a-z]$/i.test(event.key) ? letter : event.key
  if (event.key === ' ') name = 'Space'
  else if (name.length === 1 && /[A-Z]/.test(name) && !event.shiftKey) name = name.toLowerCase()
  const sign = SIGNS[event.code]
  if (sign && !event.shiftKey && (/[^ -~]/.test(event.key) || (sign === '/' && event.key === '.'))) name = sign
  if (event.ctrlKey || event.metaKey) return `Ctrl ${name.toLowerCase()}`
  if (event.shiftKey && letter) name = letter.toUpperCase()
  return led ? `g ${name}` : name
}
