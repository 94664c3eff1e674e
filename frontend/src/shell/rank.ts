/** Which entries a few typed letters mean. */

/** Entries that hold every word, best first: is it, begins with it, a part begins with it, has it
 * inside. Equal ones keep their order. */
export function rank<T extends { text: string; aside: string }>(items: readonly T[], typed: string): T[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return [...items]
  const scored: { item: T; score: number }[] = []
  for (const item of items) {
    let score = 0
    let fits = true
    for (const word of words) {
      const one = match(item.text.toLowerCase(), word) ?? add(match(item.aside.toLowerCase(), word), 3)
      if (one === null) {
        fits = false
        break
      }
      score += one
    }
    if (fits) scored.push({ item, score })
  }
  return scored.sort((a, b) => a.score - b.score).map((s) => s.item)
}

function add(value: number | null, more: number): number | null {
  return value === null ? null : value + more
}

function match(text: string, word: string): number | null {
  if (text === word) return -1
  const at = text.indexOf(word)
  if (at < 0) return null
  if (at === 0) return 0
  return /[^\p{L}\p{N}]/u.test(text[at - 1]) ? 1 : 2
}
