/** Where on a form a field that the server names stands. Pure. */

/** Of `names` the nearest that holds `field` (`gates[1].expr` is within `gates[1]`); "" where none does. */
export function placeOf(field: string, names: Iterable<string>): string {
  let best = ''
  for (const name of names) {
    if (name.length <= best.length) continue
    if (field === name || field.startsWith(`${name}.`) || field.startsWith(`${name}[`)) best = name
  }
  return best
}
