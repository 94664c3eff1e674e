/** All charts of a page: who draws when, and what the pointer does to all of them. */
import type { Board } from './board'
import { Chart, type Window } from './chart'
import type { Usual } from './usual'
import { MarkRow } from './markrow'
import type { ChartMark } from './marks'
import { Ruler, type ColumnBox } from './ruler'

/** After the pointer or the page moved, few charts a frame; at rest all in one. */
const MOVING_MS = 250
const CHARTS_A_FRAME = 6
const DRAG_PX = 6

interface Callbacks {
  /** The user dragged over a stretch of time. */
  zoom: (from: number, to: number) => void
  /** The user clicked a moment, or clicked it away (null). */
  pin: (at: number | null) => void
}

export class Stage {
  readonly window: Window = { from: 0, to: 1 }
  live = true
  private charts: Chart[] = []
  private usual: ReadonlyMap<string, Usual> = new Map()
  private columns: ColumnBox[] = []
  private readonly ruler: Ruler
  private readonly markRow: MarkRow
  private lines = ''
  private readonly seen: IntersectionObserver
  private readonly size: ResizeObserver
  private frame = 0
  private moved = 0
  private pointed: number | null = null
  private pinned: number | null = null
  private drag: { from: number; at: number; x: number } | null = null
  private readonly off = new AbortController()

  constructor(
    private readonly root: HTMLElement,
    rulerCanvas: HTMLCanvasElement,
    private readonly board: Board,
    private readonly calls: Callbacks,
  ) {
    this.ruler = new Ruler(rulerCanvas)
    this.markRow = new MarkRow(rulerCanvas.parentElement!.appendChild(document.createElement('ol')))
    this.seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          const chart = this.charts.find((c) => c.box === entry.target)
          if (chart) chart.seen = entry.isIntersecting
        }
        this.request()
      },
      { rootMargin: '160px' },
    )
    this.size = new ResizeObserver(() => this.resized())
    this.size.observe(root)
    const options = { signal: this.off.signal, passive: true } as const
    addEventListener('scroll', () => (this.moved = performance.now()), options)
    root.addEventListener('pointermove', (e) => this.move(e), options)
    root.addEventListener('pointerleave', () => this.leave(), options)
    root.addEventListener('pointerdown', (e) => this.down(e), options)
    addEventListener('pointerup', (e) => this.up(e), options)
    document.addEventListener('visibilitychange', () => this.request(), options)
  }

  /** Takes the chart boxes that are in the page now. */
  adopt(): void {
    for (const chart of this.charts) chart.destroy()
    this.seen.disconnect()
    this.charts = []
    this.root.querySelectorAll<HTMLElement>('[data-chart]').forEach((box) => {
      const data = this.board.charts.find((c) => c.plan.id === box.dataset.chart)
      if (!data) return
      const chart = new Chart(box, data, this.window, this.board.times)
      chart.usual = this.usual.get(chart.kind) ?? null
      chart.build(this.board.times)
      this.charts.push(chart)
    })
    for (const chart of this.charts) chart.peers = this.charts.filter((c) => c !== chart && c.kind === chart.kind)
    this.measure()
    for (const chart of this.charts) this.seen.observe(chart.box)
    this.request()
  }

  destroy(): void {
    this.off.abort()
    this.seen.disconnect()
    this.size.disconnect()
    this.markRow.destroy()
    cancelAnimationFrame(this.frame)
    for (const chart of this.charts) chart.destroy()
    this.charts = []
  }

  /** What is usual on each chart, by its id; charts that are made later get it, too. */
  setUsual(usual: ReadonlyMap<string, Usual>): void {
    this.usual = usual
    for (const chart of this.charts) {
      chart.usual = usual.get(chart.kind) ?? null
      chart.dirty = true
    }
    this.request()
  }

  /** What changed when. */
  setMarks(marks: readonly ChartMark[]): void {
    this.markRow.set(marks)
    this.lines = ''
    this.request()
  }

  /** Charts whose newest value is outside of what is usual. */
  get oddNow(): NonNullable<Chart['oddNow']>[] {
    return this.charts.map((c) => c.oddNow).filter((odd) => odd !== null)
  }

  /** The board has new numbers, or the window has moved. */
  update(): void {
    for (const chart of this.charts) chart.retime(this.board.times)
    this.request()
  }

  /** Series came or went, or the colours changed. */
  rebuild(): void {
    for (const chart of this.charts) chart.build(this.board.times)
    this.request()
  }

  pin(at: number | null): void {
    this.pinned = at
    this.request()
  }

  private request(): void {
    if (this.frame === 0 && !document.hidden) this.frame = requestAnimationFrame(() => this.paint())
  }

  private paint(): void {
    this.frame = 0
    const moving = performance.now() - this.moved < MOVING_MS
    let left = moving ? CHARTS_A_FRAME : this.charts.length
    let again = false
    const slot = this.slot()
    const marks = this.markRow.draw(this.columns, this.window)
    const lines = marks.join()
    for (const chart of this.charts) {
      if (lines !== this.lines) {
        chart.marks = marks
        chart.dirty = true
      }
      if (!chart.seen) continue
      if (chart.dirty) {
        if (left === 0) {
          again = true
          continue
        }
        left--
        chart.draw()
      }
      chart.point(slot)
    }
    this.lines = lines
    this.ruler.draw(this.columns, this.window, slot < 0 ? null : this.board.times[slot], this.live)
    if (again) this.request()
  }

  private slot(): number {
    const at = this.pointed ?? this.pinned
    return at === null ? -1 : this.board.slotAt(at)
  }

  private measure(): void {
    const base = this.root.getBoundingClientRect().left
    const plots = this.charts.map((c) => c.frame.getBoundingClientRect())
    const lefts = [...new Set(plots.map((p) => Math.round(p.left - base)))].sort((a, b) => a - b)
    this.columns = lefts.map((left) => ({
      left,
      width: Math.round(plots.find((p) => Math.round(p.left - base) === left)!.width),
    }))
  }

  private resized(): void {
    for (const chart of this.charts) chart.resize()
    this.measure()
    this.update()
  }

  private timeAt(e: PointerEvent): { time: number; share: number } | null {
    const plot = (e.target as Element).closest?.('.plot')
    if (!plot || !this.root.contains(plot)) return null
    const box = plot.getBoundingClientRect()
    const share = Math.min(1, Math.max(0, (e.clientX - box.left) / box.width))
    return { time: this.window.from + share * (this.window.to - this.window.from), share }
  }

  private move(e: PointerEvent): void {
    this.moved = performance.now()
    const here = this.timeAt(e)
    this.pointed = here?.time ?? (this.drag ? this.pointed : null)
    if (this.drag && here && e.pointerType === 'mouse') {
      this.drag.at = here.share
      const [a, b] = this.drag.from < here.share ? [this.drag.from, here.share] : [here.share, this.drag.from]
      for (const chart of this.charts) if (chart.seen) chart.shade(a, b)
    }
    this.request()
  }

  private leave(): void {
    if (this.pointed === null) return
    this.pointed = null
    this.request()
  }

  private down(e: PointerEvent): void {
    const here = this.timeAt(e)
    if (here && e.button === 0) this.drag = { from: here.share, at: here.share, x: e.clientX }
  }

  private up(e: PointerEvent): void {
    const drag = this.drag
    if (!drag) return
    this.drag = null
    for (const chart of this.charts) chart.shade(0, 0)
    const time = (share: number): number => this.window.from + share * (this.window.to - this.window.from)
    if (Math.abs(e.clientX - drag.x) < DRAG_PX) {
      const at = Math.round(time(drag.from))
      this.calls.pin(this.pinned !== null && Math.abs(this.pinned - at) <= Math.max(2, (this.window.to - this.window.from) / 100) ? null : at)
    } else if (e.pointerType === 'mouse') {
      this.calls.zoom(Math.min(time(drag.from), time(drag.at)), Math.max(time(drag.from), time(drag.at)))
    }
    this.request()
  }
}
