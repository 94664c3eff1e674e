/** The numbers of one host's charts: columns over one grid of time. No drawing here. */
import type { ChartPlan, History } from '../api/types'

export interface Column {
  legend: string
  values: (number | null)[]
}

export interface ChartData {
  plan: ChartPlan
  columns: Column[]
}

const key = (chart: string, legend: string): string => `${chart}\n${legend}`

/** Frames closer together than this are neighbours, whatever seconds they fell into. */
const SLID_BELOW_S = 1.6

export class Board {
  times: number[] = []
  charts: ChartData[] = []
  step = 1
  private order: (Column | null)[] = []
  private index = new Map<string, Column>()
  private heard = 0

  constructor(readonly plans: readonly ChartPlan[]) {
    this.charts = plans.map((plan) => ({ plan, columns: [] }))
  }

  get last(): number {
    return this.times.length > 0 ? this.times[this.times.length - 1] : 0
  }

  /** Takes a history as the whole content; the live series of before stay known. */
  load(history: History): void {
    this.step = history.step
    this.times = Array.from({ length: history.count }, (_, i) => history.start + i * history.step)
    const found = new Map<string, Column>()
    for (const chart of this.charts) chart.columns = []
    const byId = new Map(this.charts.map((chart) => [chart.plan.id, chart]))
    for (const series of history.series) {
      const chart = byId.get(series.chart)
      if (!chart) continue
      const column = { legend: series.legend, values: series.values.slice(0, history.count) }
      while (column.values.length < history.count) column.values.push(null)
      chart.columns.push(column)
      found.set(key(series.chart, series.legend), column)
    }
    const live = [...this.index.entries()]
    const before = this.order
    this.index = found
    this.order = before.map((column) => {
      const name = live.find(([, c]) => c === column)?.[0]
      return name === undefined ? null : this.columnOf(name)
    })
  }

  /** The order in which live values will come. True when there is a series that was not drawn. */
  follow(series: readonly { chart: string; legend: string }[]): boolean {
    const count = this.index.size
    this.order = series.map((s) => this.columnOf(key(s.chart, s.legend)))
    return this.index.size !== count
  }

  private columnOf(name: string): Column | null {
    const there = this.index.get(name)
    if (there) return there
    const [id, legend] = name.split('\n')
    const chart = this.charts.find((c) => c.plan.id === id)
    if (!chart) return null
    const column: Column = { legend, values: new Array<number | null>(this.times.length).fill(null) }
    chart.columns.push(column)
    this.index.set(name, column)
    return column
  }

  /** One second's values. The grid moves on when `time` is past its end; seconds that never came
   * stay gaps. */
  append(time: number, values: Float32Array): void {
    const size = this.times.length
    if (size === 0) return
    const ahead = Math.floor((time - this.last) / this.step + 1e-6)
    if (ahead >= size) this.clear(time)
    else for (let i = 0; i < ahead; i++) this.advance()
    const slot = size - 1 + Math.min(0, ahead)
    if (slot < 0) return
    // The sender's tick slides over the edge of a second now and then: nothing was missed then.
    const slid = ahead === 2 && time - this.heard < SLID_BELOW_S
    this.heard = time
    for (let i = 0; i < this.order.length && i < values.length; i++) {
      const column = this.order[i]
      if (!column) continue
      const value = values[i]
      // A grid coarser than a second keeps the newest value of its step; a gap does not erase it.
      if (Number.isNaN(value)) continue
      column.values[slot] = value
      if (slid) column.values[slot - 1] = value
    }
  }

  private advance(): void {
    this.times.push(this.last + this.step)
    this.times.shift()
    for (const chart of this.charts) {
      for (const column of chart.columns) {
        column.values.push(null)
        column.values.shift()
      }
    }
  }

  private clear(time: number): void {
    const size = this.times.length
    const end = this.last + Math.floor((time - this.last) / this.step) * this.step
    this.times = Array.from({ length: size }, (_, i) => end - (size - 1 - i) * this.step)
    for (const chart of this.charts) for (const column of chart.columns) column.values.fill(null)
  }

  /** The slot nearest to a time, or -1 outside. */
  slotAt(time: number): number {
    if (this.times.length === 0) return -1
    const slot = Math.round((time - this.times[0]) / this.step)
    return slot < 0 || slot >= this.times.length ? -1 : slot
  }
}

/** The newest value that is not a gap among the last few slots: a step that has just begun has none
 * yet, but a host that is silent must show none. */
export function newest(values: readonly (number | null)[], within = 2): number | null {
  for (let i = values.length - 1; i >= 0 && i >= values.length - within; i--) if (values[i] !== null) return values[i]
  return null
}

/** At most `most` columns, those with the highest peaks, in their own order. */
export function strongest(columns: readonly Column[], most: number): Column[] {
  if (columns.length <= most) return [...columns]
  const peaks = columns.map((c) => peak(c.values))
  const limit = [...peaks].sort((a, b) => b - a)[most - 1]
  return columns.filter((_, i) => peaks[i] >= limit).slice(0, most)
}

export function peak(values: readonly (number | null)[]): number {
  let most = -Infinity
  for (const value of values) if (value !== null && value > most) most = value
  return most
}
