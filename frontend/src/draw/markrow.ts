/** Diamonds on the time ruler, one for each change, with words and a way to it; a list for those who
 * do not see them. Moved by hand at 1 Hz, made anew only when the marks change. */
import { clock, day, t } from '../i18n'
import { changePath } from '../state/paths'
import type { Window } from './chart'
import { clusters, type ChartMark, type Cluster } from './marks'
import type { ColumnBox } from './ruler'

/** A mark can be pressed within so many pixels (`.mark-link`): nearer ones are one, or would hide each other. */
const APART_PX = 24
const NAMED = 4
const DAY_S = 86_400

export class MarkRow {
  private marks: readonly ChartMark[] = []
  private shown = ''
  private nodes: { at: number; column: number; node: HTMLElement }[] = []

  constructor(private readonly list: HTMLOListElement) {
    list.className = 'mark-row'
    list.setAttribute('aria-label', t('mark.list'))
  }

  set(marks: readonly ChartMark[]): void {
    this.marks = marks
    this.shown = ''
    this.list.setAttribute('aria-label', t('mark.list'))
  }

  /** The moments that a line goes through. */
  draw(columns: readonly ColumnBox[], window: Window): number[] {
    const span = window.to - window.from
    const width = columns[0]?.width ?? 0
    if (width === 0 || span <= 0) return []
    const found = clusters(this.marks, window.from, window.to, (APART_PX / width) * span)
    const key = `${columns.map((c) => c.left).join()}|${found.map((c) => `${c.at}x${c.marks.length}`).join()}`
    if (key !== this.shown) {
      this.shown = key
      this.build(columns, found, span)
    }
    for (const one of this.nodes) {
      const column = columns[one.column]
      const x = column.left + ((one.at - window.from) / span) * column.width
      one.node.style.transform = `translateX(${x.toFixed(1)}px)`
      one.node.classList.toggle('late', x > column.left + column.width - 160)
    }
    return found.map((c) => c.at)
  }

  destroy(): void {
    this.list.remove()
  }

  private build(columns: readonly ColumnBox[], found: readonly Cluster[], span: number): void {
    this.nodes = columns.flatMap((_, column) => found.map((cluster) => ({ at: cluster.at, column, node: this.item(cluster, column > 0, span) })))
    this.list.replaceChildren(...this.nodes.map((n) => n.node))
  }

  private item(cluster: Cluster, again: boolean, span: number): HTMLElement {
    const item = document.createElement('li')
    const link = cluster.marks.map((m) => m.change).findLast((id) => id > 0)
    const node = document.createElement(link ? 'a' : 'span')
    if (link) (node as HTMLAnchorElement).href = changePath(link)
    node.className = `mark-link ${cluster.marks.every((m) => m.kind === 'restart') ? 'restart' : ''}`
    if (again) {
      // The first column says it to those who listen; the others only show it.
      item.setAttribute('aria-hidden', 'true')
      node.tabIndex = -1
    } else node.tabIndex = 0
    const label = document.createElement('span')
    label.className = 'mark-label'
    const lines = cluster.marks.slice(-NAMED).map((m) => `${span > DAY_S ? `${day(m.at)}, ` : ''}${clock(m.at, span < DAY_S)} · ${markWords(m)}`)
    if (cluster.marks.length > NAMED) lines.unshift(t('chart.more', { n: cluster.marks.length - NAMED }))
    // What is seen and what is heard are the same text, to the semicolon.
    lines.forEach((text, i) => {
      const line = document.createElement('span')
      line.textContent = i < lines.length - 1 ? `${text};` : text
      label.append(...(i > 0 ? [' '] : []), line)
    })
    // The label is not there for anybody until it is pointed at; its words are.
    node.setAttribute('aria-label', lines.join('; '))
    if (!link) node.setAttribute('role', 'img')
    node.append(label)
    item.append(node)
    return item
  }
}

/** "PostgreSQL 16.6: proven". */
export function markWords(mark: ChartMark): string {
  if (mark.kind === 'restart') return t(`mark.restart.${mark.what}`)
  const state = mark.kind === 'external' ? t(`change.outcome.${mark.what}`) : MOVES.has(mark.what) ? t(`mark.${mark.what}`) : t(`attempt.${mark.what}`)
  return `${mark.title}: ${state}`
}

/** What becomes of a change as a whole; anything else is the state of one host in it. */
const MOVES = new Set(['started', 'wave', 'held', 'resumed', 'reverting', 'reverted', 'aborted', 'done'])
