/** The fleet map on a canvas. A tile is repainted only when its look changes. */
import { CELLS, STATES, UNKNOWN } from '../api/frame'
import { t, number } from '../i18n'
import { cells, type KnownHost } from '../state/fleet'
import { colour, face } from './colours'
import { hostAt, layoutMap, type MapLayout } from './maplayout'

const SHADES = 6
const DIM = 64
/** A look is the state (0–4), or 8 + shade for a normal host coloured by a metric, + DIM. */
const SHADE0 = 8
const NOT_PAINTED = 255

export class HostMap {
  layout: MapLayout = layoutMap([], 800)
  private hosts: readonly KnownHost[] = []
  private looks = new Uint8Array(0)
  private shown: Set<number> | null = null
  private metric = -1
  private focus = -1
  private readonly context: CanvasRenderingContext2D

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext('2d')
    if (!context) throw new Error('this browser has no 2D canvas')
    this.context = context
  }

  /** Lays everything out anew and paints it. `metric` is -1 for state, else 0–4. */
  draw(hosts: readonly KnownHost[], width: number, metric: number, shown: Set<number> | null): void {
    this.hosts = hosts
    this.metric = metric
    this.shown = shown
    this.layout = layoutMap(hosts, width)
    const ratio = devicePixelRatio || 1
    this.canvas.width = Math.round(width * ratio)
    this.canvas.height = Math.round((this.layout.height + 2) * ratio)
    this.canvas.style.width = `${width}px`
    this.canvas.style.height = `${this.layout.height + 2}px`
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0)
    this.looks = new Uint8Array(hosts.length).fill(NOT_PAINTED)
    this.labels()
    this.tick()
  }

  /** Repaints the tiles whose look has changed. */
  tick(): void {
    for (let i = 0; i < this.looks.length; i++) {
      const look = this.look(i)
      if (look !== this.looks[i]) this.tile(i, look)
    }
  }

  at(x: number, y: number): number {
    return hostAt(this.layout, x, y)
  }

  /** Rings one host, or none with -1. */
  point(index: number): void {
    if (index === this.focus) return
    const old = this.focus
    this.focus = index
    if (old >= 0 && old < this.looks.length) this.tile(old, this.look(old))
    if (index >= 0 && index < this.looks.length) this.tile(index, this.look(index))
  }

  private look(index: number): number {
    const state = Math.min(cells[index * CELLS], 4)
    const dim = this.shown && !this.shown.has(index) ? DIM : 0
    if (state !== 0 || this.metric < 0) return state + dim
    const value = cells[index * CELLS + 1 + this.metric]
    if (value === UNKNOWN) return dim
    return SHADE0 + Math.min(SHADES - 1, Math.floor((value * SHADES) / 100)) + dim
  }

  private labels(): void {
    const c = this.context
    c.textBaseline = 'top'
    for (const role of this.layout.roles) {
      c.font = face(11)
      c.fillStyle = colour('text3')
      c.fillText(role.text || '—', role.x, role.y + 4)
    }
    for (const site of this.layout.sites) {
      c.font = face(12, 500)
      c.fillStyle = colour('text2')
      const name = clip(c, site.text || t('map.noSite'), 92)
      c.fillText(name, site.x, site.y - 1)
      const wide = c.measureText(name).width
      c.font = face(11)
      c.fillStyle = colour('text3')
      const n = number(site.count ?? 0)
      if (site.beside) c.fillText(n, site.x + wide + 8, site.y)
      else c.fillText(n, site.x, site.y + 15)
    }
  }

  private tile(index: number, look: number): void {
    this.looks[index] = look
    const { places, tile, pitch, named } = this.layout
    const c = this.context
    const x = places[index * 2]
    const y = places[index * 2 + 1]
    const spare = pitch - tile
    if (named) c.clearRect(x - 4, y - 5, named, pitch)
    else c.clearRect(x - spare / 2, y - spare / 2, pitch, pitch)
    c.globalAlpha = look >= DIM ? 0.25 : 1
    shape(c, x, y, tile, look % DIM)
    if (named) {
      c.font = face(13)
      c.fillStyle = colour('text')
      c.textBaseline = 'middle'
      c.fillText(clip(c, this.hosts[index].name, named - tile - 20), x + tile + 8, y + tile / 2 + 1)
    }
    c.globalAlpha = 1
    if (index === this.focus) {
      c.strokeStyle = colour('accent')
      c.lineWidth = tile > 8 ? 2 : 1
      const out = Math.max(1, Math.min(2, spare / 2))
      c.beginPath()
      if (named) c.roundRect(x - 3, y - 4, named - 6, pitch - 4, 5)
      else c.roundRect(x - out + 0.5, y - out + 0.5, tile + 2 * out - 1, tile + 2 * out - 1, 3)
      c.stroke()
    }
  }
}

function shape(c: CanvasRenderingContext2D, x: number, y: number, size: number, look: number): void {
  const state = look >= SHADE0 ? 'normal' : STATES[look]
  const radius = size >= 8 ? 3 : size >= 6 ? 2 : 1
  const box = (): void => {
    c.beginPath()
    c.roundRect(x, y, size, size, radius)
  }
  if (state === 'normal') {
    c.fillStyle = colour(look >= SHADE0 ? `shade${look - SHADE0}` : 'tile')
    box()
    c.fill()
  } else if (state === 'critical') {
    c.fillStyle = colour('crit-fill')
    box()
    c.fill()
    if (size >= 8) {
      c.fillStyle = '#fff'
      const w = Math.max(1.5, size / 7)
      c.fillRect(x + size / 2 - w / 2, y + size * 0.2, w, size * 0.36)
      c.fillRect(x + size / 2 - w / 2, y + size * 0.66, w, w)
    }
  } else if (state === 'warning') {
    c.fillStyle = colour('warn-fill')
    c.strokeStyle = colour('warn-edge')
    c.lineWidth = 1
    c.lineJoin = 'round'
    c.beginPath()
    c.moveTo(x + size / 2, y + 0.5)
    c.lineTo(x + size - 0.2, y + size - 0.5)
    c.lineTo(x + 0.2, y + size - 0.5)
    c.closePath()
    c.fill()
    if (size >= 6) c.stroke()
  } else if (state === 'silent') {
    c.strokeStyle = colour('text2')
    c.lineWidth = size >= 9 ? 1.5 : 1
    c.setLineDash(size >= 9 ? [2, 2] : [1.5, 1.5])
    c.beginPath()
    c.arc(x + size / 2, y + size / 2, size / 2 - 0.75, 0, 7)
    c.stroke()
    c.setLineDash([])
  } else {
    c.strokeStyle = colour('line2')
    c.lineWidth = 1
    c.beginPath()
    c.roundRect(x + 0.5, y + 0.5, size - 1, size - 1, radius)
    c.stroke()
  }
}

export function clip(c: CanvasRenderingContext2D, text: string, width: number): string {
  if (c.measureText(text).width <= width) return text
  let keep = text.length - 1
  while (keep > 1 && c.measureText(`${text.slice(0, keep)}…`).width > width) keep--
  return `${text.slice(0, keep)}…`
}
