/** Which charts show what a rule is about, and how they are asked for. Pure. */
import type { ChartPlan, ChartSeries, History } from '../api/types'

const METRIC = /\b(?:node|process|vezha)_[a-zA-Z0-9_:]+|\bup\b/g
/** These say what kind of thing something is, not what it does. */
const NOT_TELLING = new Set(['node_uname_info', 'vezha_host_info', 'node_os_info', 'node_boot_time_seconds'])

export function metricsOf(expr: string): Set<string> {
  return new Set([...expr.matchAll(METRIC)].map((m) => m[0]).filter((name) => !NOT_TELLING.has(name)))
}

/** The plans that draw what `exprs` ask, the closest first; at most `most`. */
export function plansFor(exprs: readonly string[], plans: readonly ChartPlan[], most: number): ChartPlan[] {
  const wanted = new Set(exprs.flatMap((expr) => [...metricsOf(expr)]))
  const scored = plans
    .map((plan) => {
      const shown = new Set(plan.series.flatMap((s) => [...metricsOf(s.expr)]))
      let common = 0
      for (const name of wanted) if (shown.has(name)) common++
      return { plan, score: common }
    })
    .filter((s) => s.score > 0)
  return scored
    .sort((a, b) => b.score - a.score)
    .slice(0, most)
    .map((s) => s.plan)
}

/** The PromQL of one line of a chart for one host. */
export function exprFor(series: ChartSeries, host: string, step: number): string {
  return series.expr
    .replaceAll('$window', `${Math.max(5, step) * 1000}ms`)
    .replaceAll('$presence', `${Math.max(3, step) * 1000}ms`)
    .replaceAll('$instance', JSON.stringify(host))
}

export interface Matrix {
  result: { metric: Record<string, string>; values: [number, string][] }[]
}

/** A range query's answer on the grid of the charts. */
export function lines(chart: string, series: ChartSeries, found: Matrix, start: number, step: number, count: number): History['series'] {
  return found.result.map(({ metric, values }) => {
    const row = new Array<number | null>(count).fill(null)
    for (const [at, text] of values) {
      const slot = Math.round((at - start) / step)
      const value = Number(text)
      if (slot >= 0 && slot < count && Number.isFinite(value)) row[slot] = value
    }
    return { chart, legend: series.legend.replace(/\{\{(\w+)\}\}/g, (_, name: string) => metric[name] ?? ''), labels: metric, values: row }
  })
}
