import { describe, expect, it } from 'vitest'
import { clusters, type ChartMark } from '../draw/marks'
import { PARTS } from './hostpart'
import { exprOf, rowsOf, TABLES, type Sample } from './hosttables'

const sample = (value: number | string, metric: Record<string, string>): Sample => ({ metric, value: [0, String(value)] })

describe('tables of a host', () => {
  it('ask of one host alone, whatever its name', () => {
    for (const part of PARTS) for (const table of TABLES[part]) for (const column of table.columns) {
      const expr = exprOf(column, 'a"b')
      expect(expr, `${table.id} ${column.id}`).not.toContain('$i')
      expect(expr.match(/\{/g)!.length, expr).toBe(expr.match(/\{instance="a\\"b"/g)!.length)
    }
  })

  it('join columns into rows, the largest first', () => {
    const [table] = TABLES.services
    const answers = table.columns.map((c): Sample[] => (c.id === 'state' ? [sample(1, { name: 'a.service', state: 'failed' }), sample(1, { name: 'b.service', state: 'active' })] : c.id === 'cpu' ? [sample(3, { unit: 'b.service' }), sample(9, { unit: 'c.service' }), sample(50, { unit: '' })] : []))
    const rows = rowsOf(table, answers)
    expect(rows.map((r) => [r.name[0], r.cells[0], r.cells[1]])).toEqual([['c.service', null, 9], ['b.service', 'active', 3], ['a.service', 'failed', null]])
  })

  it('show nothing for what is no number, and one row for the host itself', () => {
    const [table] = TABLES.agent
    const rows = rowsOf(table, table.columns.map((c) => [sample(c.id === 'complete' ? 'NaN' : 7, { instance: 'x' })]))
    expect(rows).toHaveLength(1)
    expect(rows[0].cells.slice(0, 2)).toEqual([null, 7])
  })
})

describe('marks', () => {
  const at = (t: number): ChartMark => ({ at: t, kind: 'change', what: 'done', title: String(t), change: t })

  it('that are too near are one, whatever the window', () => {
    const marks = [30, 10, 12, 19, 50].map(at)
    const found = clusters(marks, 0, 100, 10)
    expect(found.map((c) => c.marks.map((m) => m.at))).toEqual([[10, 12, 19], [30], [50]])
    for (let from = 0; from < 60; from++) {
      for (const c of clusters(marks, from, 100, 10)) expect(found.map((f) => f.at)).toContain(c.at)
    }
    expect(clusters(marks, 11, 45, 10).map((c) => c.at)).toEqual([30])
  })
})
