/** What the host page shows and when it moves: live, paused, or a fixed stretch of time. */
import { signal } from '@preact/signals'
import { get, serverNow } from '../api/client'
import type { HostFrame } from '../api/frame'
import { subscribe } from '../api/live'
import type { UsualView } from '../api/schema'
import type { ChartPlan, History } from '../api/types'
import { Board } from '../draw/board'
import type { Usual } from '../draw/usual'
import { lengthOf, stepFor, type Span } from '../draw/span'
import type { Stage } from '../draw/stage'
import { askMarks } from '../parts/marks'
import { hostPath } from '../state/paths'

/** Frames kept while paused; when more come, going on asks the server instead. */
const WAITING_FRAMES = 900

const USUAL_AFTER_MS = 1500
const MARKS_AFTER_MS = 800
const MARKS_EVERY_MS = 15_000

let catalogue: Promise<ChartPlan[]> | null = null

/** The charts that a host has; they are the same for all hosts. */
export function chartPlans(): Promise<ChartPlan[]> {
  catalogue ??= get<{ charts: ChartPlan[] }>('/charts/host').then((answer) => answer.charts)
  catalogue.catch(() => (catalogue = null))
  return catalogue
}

export function history(host: string, from: number, to: number): Promise<History> {
  const step = stepFor(to - from)
  const start = Math.floor(from / step) * step
  const end = Math.floor(to / step) * step
  return get<History>(`/hosts/${encodeURIComponent(host)}/charts?start=${start}&end=${end}&step=${step}`)
}

export class HostView {
  readonly board: Board
  /** Seconds of data that wait; `null` while live. */
  readonly waiting = signal<number | null>(null)
  readonly loading = signal(true)
  readonly trouble = signal<unknown>(null)
  stage: Stage | null = null
  private span: Span
  private frames: HostFrame[] = []
  private overflown = false
  private revision = -1
  private asked = 0
  private marking = 0
  private stop: (() => void) | null = null

  constructor(
    readonly host: string,
    plans: ChartPlan[],
    span: Span,
  ) {
    this.board = new Board(plans)
    this.span = span
  }

  start(first?: Promise<History>): void {
    this.stop = subscribe(
      { page: 'host', host: this.host },
      {
        message: (m) => {
          if (m.type !== 'series') return
          this.revision = m.revision
          if (this.board.follow(m.series) && !this.loading.peek()) this.stage?.rebuild()
        },
        host: (frame) => this.take(frame),
        again: () => void this.load(),
      },
    )
    void this.load(first)
  }

  /** What is usual here, asked for when the page is at rest; a server that does not know it shows
   * charts without. Of a chart with several lines the first one counts. */
  async loadUsual(): Promise<void> {
    await new Promise((done) => setTimeout(done, USUAL_AFTER_MS))
    if (!this.stage) return
    try {
      const found = await get<UsualView>(`/load/usual?host=${encodeURIComponent(this.host)}`)
      const usual = new Map<string, Usual>()
      for (const one of found.series) {
        if (!usual.has(one.chart)) usual.set(one.chart, { slotS: found.slot_s, low: one.low, high: one.high })
      }
      this.stage?.setUsual(usual)
    } catch {
      // The charts are whole without it.
    }
  }

  /** What changed here: asked for when the page is at rest, and now and then while it is live. */
  async keepMarks(): Promise<void> {
    await new Promise((done) => setTimeout(done, MARKS_AFTER_MS))
    const ask = async (): Promise<void> => {
      const mine = this.asked
      const now = Math.floor(serverNow())
      const [from, to] = this.span.kind === 'live' ? [now - this.span.seconds, now] : [this.span.from, this.span.to]
      const marks = await askMarks(from, to, this.host)
      if (mine === this.asked) this.stage?.setMarks(marks)
    }
    if (!this.stage) return
    clearInterval(this.marking)
    this.marking = window.setInterval(() => !document.hidden && this.span.kind === 'live' && void ask(), MARKS_EVERY_MS)
    await ask()
  }

  /** Charts whose newest value is outside of what is usual. */
  oddNow(): Stage['oddNow'] {
    return this.stage && !this.paused ? this.stage.oddNow : []
  }

  end(): void {
    clearInterval(this.marking)
    this.stop?.()
    this.stage?.destroy()
    this.stage = null
  }

  /** Shows another stretch of time. */
  show(span: Span): void {
    this.span = span
    this.frames = []
    this.overflown = false
    this.waiting.value = span.kind === 'fixed' ? Math.max(0, Math.round(serverNow() - span.to)) : null
    void this.load()
    void this.keepMarks()
  }

  get paused(): boolean {
    return this.waiting.peek() !== null
  }

  /** Holds the present picture; data goes on arriving. */
  pause(): void {
    if (this.paused) return
    this.waiting.value = 0
    if (this.stage) this.stage.live = false
    this.stage?.update()
  }

  /** From a pause back to now. The frames that waited are played in; too many are asked for anew. */
  resume(): void {
    if (!this.paused || this.span.kind === 'fixed') return
    this.waiting.value = null
    const frames = this.frames
    this.frames = []
    if (this.overflown) {
      this.overflown = false
      void this.load()
      return
    }
    for (const frame of frames) this.board.append(frame.time, frame.values)
    this.follow()
  }

  /** The stretch that is on the screen. */
  get seen(): { from: number; to: number } {
    return this.stage ? { ...this.stage.window } : { from: 0, to: 0 }
  }

  async load(first?: Promise<History>): Promise<void> {
    const mine = ++this.asked
    this.loading.value = true
    const now = Math.floor(serverNow())
    const [from, to] = this.span.kind === 'live' ? [now - this.span.seconds, now] : [this.span.from, this.span.to]
    try {
      const found = await (first ?? history(this.host, from, to))
      if (mine !== this.asked) return
      this.board.load(found)
      const late = this.frames
      if (!this.paused) {
        this.frames = []
        for (const frame of late) this.board.append(frame.time, frame.values)
      }
      this.trouble.value = null
      this.loading.value = false
      this.stage?.rebuild()
      this.follow()
    } catch (error) {
      if (mine !== this.asked) return
      this.trouble.value = error
      this.loading.value = false
    }
  }

  /** Sets the window to what the span means now, and draws. */
  follow(): void {
    const { stage, board, span } = this
    if (!stage || board.times.length === 0) return
    if (span.kind === 'fixed') {
      stage.window.from = span.from
      stage.window.to = span.to
    } else {
      stage.window.to = board.last
      stage.window.from = board.last - lengthOf(span)
    }
    stage.live = span.kind === 'live' && !this.paused
    stage.update()
  }

  private take(frame: HostFrame): void {
    if (frame.revision !== this.revision) return
    if (this.paused || this.loading.peek()) {
      if (this.paused) this.waiting.value = (this.waiting.peek() ?? 0) + 1
      if (this.span.kind === 'fixed') return
      // The buffer belongs to the socket's message: it is ours to keep.
      if (this.frames.length < WAITING_FRAMES) this.frames.push(frame)
      else this.overflown = true
      return
    }
    this.board.append(frame.time, frame.values)
    this.follow()
  }
}

/** The host before or after this one by name. */
export function besidePath(names: readonly string[], host: string, by: number): string | null {
  const at = names.indexOf(host)
  if (at < 0 || names.length < 2) return null
  return hostPath(names[(at + by + names.length) % names.length])
}
