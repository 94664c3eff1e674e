/** The one time ruler over all columns of charts. */
import { clock, day, t } from '../i18n'
import { colour, face } from './colours'
import type { Window } from './chart'
import { ticks } from './span'

export const RULER_PX = 30

export interface ColumnBox {
  left: number
  width: number
}

export class Ruler {
  constructor(private readonly canvas: HTMLCanvasElement) {}

  /** `at` is the pointed moment, or null; `live` writes "now" at the right end. */
  draw(columns: readonly ColumnBox[], window: Window, at: number | null, live: boolean): void {
    const width = this.canvas.parentElement!.clientWidth
    const ratio = devicePixelRatio || 1
    if (this.canvas.width !== Math.round(width * ratio)) {
      this.canvas.width = Math.round(width * ratio)
      this.canvas.height = Math.round(RULER_PX * ratio)
      this.canvas.style.width = `${width}px`
      this.canvas.style.height = `${RULER_PX}px`
    }
    const c = this.canvas.getContext('2d')
    if (!c) return
    c.setTransform(ratio, 0, 0, ratio, 0, 0)
    c.clearRect(0, 0, width, RULER_PX)
    c.textBaseline = 'middle'
    for (const column of columns) this.column(c, column, window, at, live)
  }

  private column(c: CanvasRenderingContext2D, box: ColumnBox, window: Window, at: number | null, live: boolean): void {
    const span = window.to - window.from
    const place = (time: number): number => box.left + ((time - window.from) / span) * box.width
    c.font = face(11)
    const { at: lines, every } = ticks(window.from, window.to, box.width)
    const end = live ? t('ruler.now') : ''
    const endWidth = live ? c.measureText(end).width : 0
    c.fillStyle = colour('text3')
    let free = box.left - 1
    for (const time of lines) {
      const text = every >= 86_400 || (every >= 21_600 && isMidnight(time)) ? day(time) : clock(time, every < 60)
      const w = c.measureText(text).width
      const x = Math.min(Math.max(place(time) - w / 2, box.left), box.left + box.width - w)
      if (x < free || (live && x + w > box.left + box.width - endWidth - 10)) continue
      c.fillText(text, x, RULER_PX / 2)
      free = x + w + 12
    }
    if (live) c.fillText(end, box.left + box.width - endWidth, RULER_PX / 2)
    if (at === null) return
    const text = span > 86_400 ? `${day(at)}, ${clock(at)}` : clock(at, true)
    c.font = face(11, 500)
    const w = c.measureText(text).width + 14
    const x = Math.min(Math.max(place(at) - w / 2, box.left), box.left + box.width - w)
    c.fillStyle = colour('strong-bg')
    c.beginPath()
    c.roundRect(x, 6, w, RULER_PX - 12, 3)
    c.fill()
    c.fillStyle = colour('strong-text')
    c.fillText(text, x + 7, RULER_PX / 2 + 0.5)
  }
}

function isMidnight(time: number): boolean {
  const date = new Date(time * 1000)
  return date.getHours() === 0 && date.getMinutes() === 0
}
