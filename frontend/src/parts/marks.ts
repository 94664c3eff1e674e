/** Asks what changed when, and puts it on the charts of a page. */
import { get } from '../api/client'
import type { MarksView } from '../api/schema'
import type { ChartMark } from '../draw/marks'

/** Marks between two moments, of one host or of the fleet; none where they cannot be had: charts are
 * whole without them. */
export async function askMarks(from: number, to: number, host = ''): Promise<ChartMark[]> {
  const params = new URLSearchParams({ start: String(Math.floor(from)), end: String(Math.ceil(to)), ...(host ? { host } : {}) })
  try {
    const found = await get<MarksView>(`/marks?${params}`)
    return found.marks.flatMap((m) => (m.at === null ? [] : [{ at: m.at, kind: m.kind, what: m.what, title: m.title, change: m.change }]))
  } catch {
    return []
  }
}
