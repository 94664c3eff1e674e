/** What changed when, as charts carry it. Pure. */

export interface ChartMark {
  /** Seconds since 1970. */
  at: number
  /** change, external, restart. */
  kind: string
  what: string
  title: string
  /** The change's number; 0 where it is none. */
  change: number
}

/** Marks that lie too near to be told apart on a chart. */
export interface Cluster {
  at: number
  marks: ChartMark[]
}

/** The marks between two moments, those less than `apart` seconds from the first of their group together.
 * Groups do not depend on where the window begins, so that they do not change while it moves. */
export function clusters(marks: readonly ChartMark[], from: number, to: number, apart: number): Cluster[] {
  const found: Cluster[] = []
  let last: Cluster | null = null
  for (const mark of [...marks].sort((a, b) => a.at - b.at)) {
    if (last && mark.at - last.at < apart) last.marks.push(mark)
    else found.push((last = { at: mark.at, marks: [mark] }))
  }
  return found.filter((c) => c.at >= from && c.at <= to)
}
