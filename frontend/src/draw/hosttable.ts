/** The host table: a few dozen rows recycled over any number of hosts, written by hand. */
import { CELLS, UNKNOWN } from '../api/frame'
import type { State } from '../api/types'
import { t, number } from '../i18n'
import { cells, METRICS, stateOf, type KnownHost } from '../state/fleet'
import { hostPath } from '../state/paths'
import { face } from './colours'

export const ROW_PX = 31
export const ROW_PX_PHONE = 48
/** A number on the page changes only by this much, so that it does not flicker. */
const DEAD_BAND = 2
const OVERSCAN = 6
/** Beside a name: the space to the next column, and what kerning may add. */
const NAME_MARGIN_PX = 16
/** Of so many names with the most letters the widest is looked for. */
const NAMES_MEASURED = 40

interface Row {
  node: HTMLElement
  link: HTMLAnchorElement
  mark: HTMLElement
  word: HTMLElement
  places: HTMLElement[]
  bars: HTMLElement[]
  values: Text[]
  shown: Int16Array
  host: number
  at: number
  state: State | ''
}

export class HostTable {
  private rows: Row[] = []
  private hosts: readonly KnownHost[] = []
  private list: readonly number[] = []
  private selected = -1

  constructor(
    private readonly body: HTMLElement,
    private readonly labels: readonly string[],
    private readonly onSelect: (host: number) => void,
  ) {
    // Until the face has come, names are measured in another one.
    void document.fonts.ready.then(() => this.fit())
  }

  get order(): readonly number[] {
    return this.list
  }

  private get rowPx(): number {
    return innerWidth <= 720 ? ROW_PX_PHONE : ROW_PX
  }

  show(hosts: readonly KnownHost[], list: readonly number[]): void {
    const others = hosts !== this.hosts
    this.hosts = hosts
    this.list = list
    if (others) this.fit()
    for (const row of this.rows) row.host = -1
    this.body.style.height = `${list.length * this.rowPx}px`
    this.scroll()
  }

  /** Puts rows where the window is looking. */
  scroll(): void {
    const px = this.rowPx
    const top = -this.body.getBoundingClientRect().top
    const first = Math.max(0, Math.floor(top / px) - OVERSCAN)
    const last = Math.min(this.list.length, Math.ceil((top + innerHeight) / px) + OVERSCAN)
    const need = Math.max(0, last - first)
    while (this.rows.length < need) this.rows.push(this.make())
    const size = this.rows.length
    this.rows.forEach((row, slot) => {
      // Row n always lies in slot n mod rows: scrolling by one row rewrites one row.
      const at = first + ((((slot - first) % size) + size) % size)
      if (at >= last) {
        row.node.style.display = 'none'
        row.host = -1
        return
      }
      this.place(row, at, px)
    })
  }

  /** Writes what has moved by the dead band. */
  tick(): void {
    for (const row of this.rows) if (row.host >= 0) this.values(row, false)
  }

  select(host: number, focus = false): void {
    this.selected = host
    for (const row of this.rows) row.node.classList.toggle('selected', row.host === host && host >= 0)
    if (!focus || host < 0) return
    const at = this.list.indexOf(host)
    if (at < 0) return
    const px = this.rowPx
    const y = this.body.getBoundingClientRect().top + at * px
    if (y < 120) scrollBy(0, y - 120)
    else if (y > innerHeight - 120) scrollBy(0, y - innerHeight + 120)
    this.scroll()
    this.rows.find((r) => r.host === host)?.link.focus({ preventScroll: true })
  }

  /** Tells the style sheet how wide the widest name is; it decides how much of that there is room for. */
  private fit(): void {
    const names = this.hosts.map((h) => h.name).sort((a, b) => b.length - a.length)
    const pen = document.createElement('canvas').getContext('2d')
    if (!pen || names.length === 0) return
    pen.font = face(13, 500)
    const widest = Math.max(...names.slice(0, NAMES_MEASURED).map((name) => pen.measureText(name).width))
    this.body.parentElement?.style.setProperty('--name', `${Math.ceil(widest) + NAME_MARGIN_PX}px`)
  }

  private make(): Row {
    const node = document.createElement('div')
    node.className = 'row'
    node.setAttribute('role', 'row')
    const cell = (name: string): HTMLElement => {
      const span = document.createElement('span')
      span.className = name
      span.setAttribute('role', 'cell')
      node.append(span)
      return span
    }
    const state = cell('state')
    const mark = document.createElement('i')
    const word = document.createElement('span')
    state.append(mark, word)
    const link = document.createElement('a')
    cell('name').append(link)
    const places = this.labels.map((label) => cell(`place ${label}`))
    const bars: HTMLElement[] = []
    const values: Text[] = []
    for (const metric of METRICS) {
      const span = cell(`metric ${metric}`)
      const track = document.createElement('i')
      const bar = document.createElement('b')
      track.append(bar)
      const text = document.createElement('span')
      const value = document.createTextNode('')
      text.append(value)
      span.append(track, text)
      bars.push(bar)
      values.push(value)
    }
    link.addEventListener('focus', () => {
      const row = this.rows.find((r) => r.node === node)
      if (row && row.host !== this.selected) this.onSelect(row.host)
    })
    this.body.append(node)
    return { node, link, mark, word, places, bars, values, shown: new Int16Array(METRICS.length).fill(-1), host: -1, at: -1, state: '' }
  }

  private place(row: Row, at: number, px: number): void {
    const host = this.list[at]
    if (row.host === host && row.at === at) return
    row.node.style.display = ''
    if (row.at !== at || row.host === -1) {
      row.node.style.transform = `translateY(${at * px}px)`
      row.node.setAttribute('aria-rowindex', String(at + 2))
    }
    row.at = at
    row.host = host
    const facts = this.hosts[host]
    row.link.href = hostPath(facts.name)
    row.link.textContent = facts.name
    row.link.title = facts.name
    this.labels.forEach((label, i) => {
      row.places[i].textContent = facts.labels[label] ?? '—'
      row.places[i].title = facts.labels[label] ?? ''
    })
    row.node.classList.toggle('selected', host === this.selected)
    this.values(row, true)
  }

  private values(row: Row, all: boolean): void {
    const state = stateOf(row.host)
    if (all || state !== row.state) {
      row.state = state
      row.mark.className = `mark ${state}`
      row.word.textContent = t(`state.${state}`)
      row.node.dataset.state = state
    }
    const base = row.host * CELLS + 1
    for (let m = 0; m < METRICS.length; m++) {
      const value = cells[base + m]
      if (!all && (value === row.shown[m] || (Math.abs(value - row.shown[m]) < DEAD_BAND && value !== UNKNOWN))) continue
      row.shown[m] = value
      const unknown = value === UNKNOWN
      row.values[m].data = unknown ? '—' : number(value)
      row.bars[m].style.transform = `scaleX(${unknown ? 0 : value / 100})`
    }
  }
}
