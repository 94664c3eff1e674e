/** One chart: uPlot draws the lines, we draw everything around them. */
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { known, number, t } from '../i18n'
import { digitsFor, multiple, quantity } from '../i18n/quantity'
import type { ChartData, Column } from './board'
import { newest, peak, strongest } from './board'
import { colour, face } from './colours'
import { nextTop, roundUp } from './scale'
import { ticks } from './span'
import { isOutside, usualAt, type Usual } from './usual'

export const PLOT_PX = 74
export const MOST_LINES = 4
const DASHES: (number[] | undefined)[] = [undefined, undefined, [5, 3], [1.5, 3]]

/** What all charts of a page share: the window of time. */
export interface Window {
  from: number
  to: number
}

interface Head {
  usual: HTMLElement
  value: Text
  unit: Text
  legend: { value: Text; unit: Text }[]
}

export class Chart {
  dirty = true
  seen = false
  /** Charts of the same kind beside this one: all have the same axis, so that they compare. */
  peers: readonly Chart[] = []
  /** Of the first line. */
  usual: Usual | null = null
  /** Moments at which something changed. */
  marks: readonly number[] = []
  private plot: uPlot | null = null
  private lines: Column[] = []
  private top = 0
  private bottom = 0
  private head: Head | null = null
  private readonly hair: HTMLElement
  private readonly dots: HTMLElement[] = []
  private readonly brush: HTMLElement
  private labelled = 0

  constructor(
    readonly box: HTMLElement,
    private readonly data: ChartData,
    private readonly window: Window,
    private times: number[],
  ) {
    this.hair = part(this.frame, 'hair')
    this.brush = part(this.frame, 'brush')
  }

  get frame(): HTMLElement {
    return this.box.querySelector<HTMLElement>('.plot')!
  }

  /** Pixels of the plot; a chart that stands alone may be taller. */
  private get height(): number {
    return this.frame.clientHeight || PLOT_PX
  }

  get kind(): string {
    return this.data.plan.id.replace(/@.*$/, '')
  }

  get empty(): boolean {
    return this.data.columns.length === 0
  }

  /** Makes the plot anew: after the series, the colours or the size have changed. */
  build(times: number[]): void {
    this.times = times
    this.plot?.destroy()
    this.plot = null
    this.lines = strongest(this.data.columns, MOST_LINES)
    this.top = 0
    this.buildHead()
    for (const dot of this.dots.splice(0)) dot.remove()
    for (let i = 0; i < this.lines.length; i++) this.dots.push(part(this.frame, `dot s${i + 1}`))
    this.dirty = true
  }

  destroy(): void {
    this.plot?.destroy()
    this.plot = null
    this.hair.remove()
    this.brush.remove()
    for (const dot of this.dots) dot.remove()
  }

  /** The board has replaced its arrays. */
  retime(times: number[]): void {
    this.times = times
    this.dirty = true
  }

  draw(): void {
    this.dirty = false
    if (this.empty) return
    this.scale()
    // The first line is the one that matters: it is drawn last, over the others.
    const data = [this.times, ...[...this.lines].reverse().map((c) => c.values)] as uPlot.AlignedData
    if (this.plot) this.plot.setData(data, true)
    else this.create(data)
    this.values(-1)
    this.describe()
  }

  resize(): void {
    const width = this.frame.clientWidth
    if (this.plot && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: this.height })
    }
  }

  /** Shows the moment of `slot` on the line and in the head; -1 takes it away. */
  point(slot: number): void {
    const on = slot >= 0 && slot < this.times.length
    this.hair.hidden = !on
    for (const dot of this.dots) dot.hidden = true
    if (!on) {
      this.values(-1)
      return
    }
    const width = this.frame.clientWidth
    const x = ((this.times[slot] - this.window.from) / (this.window.to - this.window.from)) * width
    this.hair.style.transform = `translateX(${x.toFixed(1)}px)`
    this.lines.forEach((line, i) => {
      const value = line.values[slot]
      if (value === null || value === undefined) return
      const y = this.height - ((value - this.bottom) / (this.top - this.bottom)) * this.height
      this.dots[i].hidden = false
      this.dots[i].style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`
    })
    this.values(slot)
  }

  /** Shades the part between two shares (0–1) of the width while the user drags. */
  shade(from: number, to: number): void {
    this.brush.hidden = from === to
    const width = this.frame.clientWidth
    this.brush.style.left = `${from * width}px`
    this.brush.style.width = `${(to - from) * width}px`
  }

  private scale(): void {
    const { plan } = this.data
    let most = 0
    let least = 0
    for (const line of [...this.lines, ...this.peers.flatMap((p) => p.lines)]) {
      most = Math.max(most, peak(line.values))
      for (const value of line.values) if (value !== null && value < least) least = value
    }
    this.top = plan.max ? Math.max(plan.max, most > plan.max ? roundUp(most) : 0) : nextTop(this.top, Math.max(most, -least))
    this.bottom = least < 0 ? -this.top : 0
  }

  private create(data: uPlot.AlignedData): void {
    const width = this.frame.clientWidth
    if (width === 0) {
      this.dirty = true
      return
    }
    const count = this.lines.length
    this.plot = new uPlot(
      {
        width,
        height: this.height,
        padding: [1, 0, 1, 0],
        legend: { show: false },
        cursor: { show: false },
        select: { show: false, left: 0, top: 0, width: 0, height: 0 },
        axes: [{ show: false }, { show: false }],
        scales: {
          x: { time: false, range: () => [this.window.from, this.window.to] },
          y: { range: () => [this.bottom, this.top] },
        },
        series: [
          {},
          ...Array.from({ length: count }, (_, i) => {
            const line = count - 1 - i
            return {
              stroke: () => colour(`s${line + 1}`),
              width: 1.25,
              dash: DASHES[line],
              points: { show: false },
              spanGaps: false,
            }
          }),
        ],
        hooks: { drawClear: [(u) => this.ground(u)], draw: [(u) => this.label(u)] },
      },
      data,
      this.frame,
    )
  }

  private ground(u: uPlot): void {
    const c = u.ctx
    const { left, top, width, height } = u.bbox
    this.band(u)
    c.fillStyle = colour('line')
    const px = Math.max(1, Math.round(devicePixelRatio))
    c.fillRect(left, top, width, px)
    c.fillRect(left, Math.round(top + height / 2), width, px)
    if (this.bottom === 0) c.fillRect(left, top + height - px, width, px)
    for (const at of ticks(this.window.from, this.window.to, u.width).at) {
      c.fillRect(Math.round(u.valToPos(at, 'x', true)), top, px, height)
    }
    if (this.marks.length > 0) this.markLines(u)
  }

  /** A dashed line where something changed. */
  private markLines(u: uPlot): void {
    const c = u.ctx
    const { top, height } = u.bbox
    c.save()
    c.strokeStyle = colour('accent')
    c.lineWidth = Math.max(1, Math.round(devicePixelRatio))
    c.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio])
    c.beginPath()
    for (const at of this.marks) {
      if (at < this.window.from || at > this.window.to) continue
      const x = Math.round(u.valToPos(at, 'x', true)) + 0.5
      c.moveTo(x, top)
      c.lineTo(x, top + height)
    }
    c.stroke()
    c.restore()
  }

  /** What is usual, behind the lines. */
  private band(u: uPlot): void {
    const { usual } = this
    if (!usual) return
    const c = u.ctx
    c.fillStyle = colour('usual')
    const { from, to } = this.window
    for (let at = Math.floor(from / usual.slotS) * usual.slotS; at < to; at += usual.slotS) {
      const range = usualAt(usual, at)
      if (!range) continue
      const x = Math.max(u.bbox.left, u.valToPos(at, 'x', true))
      const end = Math.min(u.bbox.left + u.bbox.width, u.valToPos(at + usual.slotS, 'x', true))
      const y = u.valToPos(Math.min(range[1], this.top), 'y', true)
      c.fillRect(x, y, end - x, Math.max(1, u.valToPos(Math.max(range[0], this.bottom), 'y', true) - y))
    }
  }

  private isOdd(slot: number): boolean {
    const value = this.lines[0]?.values[slot]
    if (value === null || value === undefined || !this.usual) return false
    const range = usualAt(this.usual, this.times[slot])
    return range !== null && isOutside(value, range, this.top)
  }

  /** Draws the first line anew, in amber, where it is outside of what is usual. */
  private odd(u: uPlot): void {
    if (!this.usual || this.lines.length === 0) return
    const c = u.ctx
    c.save()
    c.strokeStyle = colour('warn-chart')
    c.lineWidth = 1.5 * devicePixelRatio
    c.beginPath()
    let pen = false
    for (let i = 0; i < this.times.length; i++) {
      if (!this.isOdd(i)) {
        pen = false
        continue
      }
      const x = u.valToPos(this.times[i], 'x', true)
      const y = u.valToPos(this.lines[0].values[i]!, 'y', true)
      if (pen) c.lineTo(x, y)
      else c.moveTo(x, y)
      pen = true
    }
    c.stroke()
    c.restore()
  }

  private label(u: uPlot): void {
    this.odd(u)
    const c = u.ctx
    const ratio = devicePixelRatio
    const [, by] = multiple(this.top, this.data.plan.unit)
    const text = number(this.top / by, digitsFor(this.top / by))
    c.save()
    c.font = face(10 * ratio)
    c.textBaseline = 'top'
    c.textAlign = 'left'
    c.lineWidth = 3 * ratio
    c.strokeStyle = colour('bg')
    c.fillStyle = colour('text3')
    c.strokeText(text, u.bbox.left + 3 * ratio, u.bbox.top + 4 * ratio)
    c.fillText(text, u.bbox.left + 3 * ratio, u.bbox.top + 4 * ratio)
    c.restore()
  }

  private buildHead(): void {
    const head = this.box.querySelector<HTMLElement>('.chart-values')!
    head.replaceChildren()
    if (this.empty) {
      const none = document.createElement('span')
      none.className = 'muted'
      // before the history has come nobody knows what is measured
      none.textContent = this.times.length === 0 ? '…' : t('chart.none')
      head.append(none)
      this.head = null
      return
    }
    const pair = (into: HTMLElement): { value: Text; unit: Text } => {
      const value = document.createTextNode('—')
      const unit = document.createTextNode('')
      const b = document.createElement('b')
      const i = document.createElement('i')
      b.append(value)
      i.append(unit)
      into.append(b, i)
      return { value, unit }
    }
    const main = document.createElement('span')
    main.className = 'now'
    const first = pair(main)
    head.append(main)
    const legend: Head['legend'] = []
    this.lines.forEach((line, i) => {
      const single = this.lines.length === 1
      if (i === 0) {
        if (line.legend && (!single || this.data.plan.series[0]?.legend.includes('{{'))) main.append(name(line.legend))
        return
      }
      const item = document.createElement('span')
      item.className = `lg s${i + 1}`
      item.append(name(line.legend || this.data.plan.series[i]?.legend || '—'))
      legend.push(pair(item))
      head.append(item)
    })
    const hidden = this.data.columns.length - this.lines.length
    if (hidden > 0) {
      const more = document.createElement('span')
      more.className = 'lg muted'
      more.textContent = t('chart.more', { n: hidden })
      more.title = this.data.columns.map((c) => legendWord(c.legend)).join(', ')
      head.append(more)
    }
    const usual = document.createElement('span')
    usual.className = 'lg usual'
    head.append(usual)
    this.head = { ...first, legend, usual }
  }

  private values(slot: number): void {
    if (!this.head) return
    const { plan } = this.data
    const blank = this.lines.every((line) => line.values.every((v) => v === null))
    this.lines.forEach((line, i) => {
      const value = slot < 0 ? newest(line.values) : (line.values[slot] ?? null)
      const target = i === 0 ? this.head! : this.head!.legend[i - 1]
      const shown = value === null ? { value: '—', unit: '' } : quantity(value, plan.unit, this.top)
      if (target.value.data !== shown.value) target.value.data = shown.value
      const unit = i > 0 ? '' : blank ? t('chart.blank') : shown.unit
      if (target.unit.data !== unit) target.unit.data = unit
    })
    this.sayUsual(slot)
  }

  /** "usual 2–7" stands in the head while the value is outside of that, and while one points. */
  private sayUsual(slot: number): void {
    const at = slot < 0 ? this.lastSlot() : slot
    const range = this.usual && at >= 0 ? usualAt(this.usual, this.times[at]) : null
    const odd = at >= 0 && this.isOdd(at)
    const say = (v: number): string => quantity(v, this.data.plan.unit, this.top).value
    const text = range && (odd || slot >= 0) ? t('chart.usual', { low: say(range[0]), high: say(range[1]) }) : ''
    if (this.head!.usual.textContent !== text) this.head!.usual.textContent = text
    this.box.classList.toggle('odd', odd && slot < 0)
  }

  /** What is outside of what is usual now: the value, and the range. */
  get oddNow(): { id: string; title: string; value: { value: string; unit: string }; low: string; high: string } | null {
    const slot = this.lastSlot()
    if (slot < 0 || !this.isOdd(slot)) return null
    const [low, high] = usualAt(this.usual!, this.times[slot])!
    const { plan } = this.data
    const say = (v: number): { value: string; unit: string } => quantity(v, plan.unit, this.top)
    return { id: plan.id, title: plan.title, value: say(this.lines[0].values[slot]!), low: say(low).value, high: say(high).value }
  }

  private lastSlot(): number {
    const values = this.lines[0]?.values ?? []
    for (let i = values.length - 1; i >= 0 && i >= values.length - 3; i--) if (values[i] !== null) return i
    return -1
  }

  /** The chart in words, for those who do not see it; not at 1 Hz. */
  private describe(): void {
    const now = performance.now()
    if (now - this.labelled < 10_000 || this.lines.length === 0) return
    this.labelled = now
    const values = this.lines[0].values.filter((v) => v !== null)
    const say = (v: number | null): string => {
      if (v === null) return '—'
      const q = quantity(v, this.data.plan.unit, this.top)
      return q.unit ? `${q.value} ${q.unit}` : q.value
    }
    this.frame.setAttribute(
      'aria-label',
      values.length === 0
        ? t('chart.summaryNone')
        : t('chart.summary', { now: say(newest(this.lines[0].values)), min: say(Math.min(...values)), max: say(Math.max(...values)) }),
    )
  }
}

function part(frame: HTMLElement, kind: string): HTMLElement {
  const node = document.createElement('i')
  node.className = kind
  node.hidden = true
  frame.append(node)
  return node
}

/** Legends that are words are the reader's; devices and mount points stay as they are. */
export function legendWord(legend: string): string {
  return known(`legend.${legend}`) ? t(`legend.${legend}`) : legend
}

function name(legend: string): HTMLElement {
  const text = legendWord(legend)
  const node = document.createElement('em')
  node.textContent = text
  node.title = text
  return node
}
