/** The one WebSocket of this tab: one subscription at a time, reconnecting by itself. */
import { signal } from '@preact/signals'
import { signedOut } from './client'
import { decode, follow, type FleetFrame, type HostFrame } from './frame'
import type { Incident } from './types'

export type Subscription = { page: 'fleet' } | { page: 'incidents' } | { page: 'host'; host: string }

/** Of each host one of `values`, or -1. */
export interface Column {
  values: string[]
  at: number[]
}

/** The hosts as the live channel lists them; their states come in the frame that follows. */
export interface HostColumns {
  names: string[]
  labels: Record<string, Column>
  os: Column
}

export type Message =
  | ({ type: 'hosts'; revision: number } & HostColumns)
  | { type: 'series'; revision: number; series: { chart: string; legend: string; labels?: Record<string, string> }[] }
  | { type: 'verdict'; counts: Record<string, number>; incidents: Incident[] }
  | { type: 'incidents'; incidents: Incident[] }

export interface Listener {
  message?: (message: Message) => void
  fleet?: (frame: FleetFrame) => void
  host?: (frame: HostFrame) => void
  /** The link is new: what was missed in between has to be asked for. */
  again?: () => void
}

export type Link = 'connecting' | 'live' | 'lost'

export const link = signal<Link>('connecting')
/** When data last arrived, by this browser's clock in ms; 0 before the first. */
export const heard = signal(0)

/** The server's close code for: sign in again. */
const NOT_SIGNED_IN = 4401
const FIRST_WAIT_MS = 400
const LONGEST_WAIT_MS = 10_000

let socket: WebSocket | null = null
let wanted: Subscription | null = null
let listener: Listener | null = null
let wait = FIRST_WAIT_MS
let timer = 0
let opened = 0
/** What the server was asked for last on this link, and what it sent before anybody listened. */
let asked = ''
let early: (string | ArrayBuffer)[] = []
/** The host's frame that the next one may be told by its changes against. */
let shown: HostFrame | null = null
/** A page that is not there after so many messages asks anew instead. */
const EARLY_MAX = 16

/** Listens to `what` until the returned function is called. */
export function subscribe(what: Subscription, to: Listener): () => void {
  const first = listener === null
  wanted = what
  listener = to
  heard.value = 0
  if (!socket) connect()
  else if (!first || asked !== address(what)) {
    early = []
    if (socket.readyState === WebSocket.OPEN) ask()
  } else if (early.length < EARLY_MAX) {
    const there = early
    early = []
    for (const data of there) hear(data)
  } else {
    early = []
    ask()
  }
  return () => {
    if (listener === to) {
      wanted = null
      listener = null
      asked = ''
    }
  }
}

/** Opens the link before anyone listens and asks for what the page at hand will want, so that its
 * first numbers are on their way while its code still is. */
export function warm(what: Subscription | null): void {
  if (!socket) connect(what)
}

/** A subscription as the link's address says it. */
function address(what: Subscription | null): string {
  if (!what) return ''
  return what.page === 'host' ? `?page=host&host=${encodeURIComponent(what.host)}` : `?page=${what.page}`
}

/** Ends the link, when the person has signed out. */
export function hangUp(): void {
  clearTimeout(timer)
  wanted = null
  const old = socket
  socket = null
  old?.close()
  link.value = 'connecting'
  opened = 0
}

function ask(): void {
  if (!wanted) return
  asked = address(wanted)
  shown = null
  socket?.send(JSON.stringify({ subscribe: wanted }))
}

function hear(data: string | ArrayBuffer): void {
  if (!listener) {
    if (asked && early.length < EARLY_MAX) early.push(data)
    return
  }
  if (typeof data === 'string') {
    listener.message?.(JSON.parse(data) as Message)
    return
  }
  const frame = decode(data)
  if (frame?.kind === 'fleet') listener.fleet?.(frame)
  else if (frame) {
    shown = frame.kind === 'host' ? frame : follow(shown, frame)
    if (shown) listener.host?.(shown)
  }
}

function connect(what = wanted): void {
  clearTimeout(timer)
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
  asked = address(what)
  early = []
  shown = null
  const mine = new WebSocket(`${scheme}//${location.host}/api/v1/live${asked}`)
  socket = mine
  mine.binaryType = 'arraybuffer'
  mine.onopen = () => {
    wait = FIRST_WAIT_MS
    link.value = 'live'
    if (asked !== address(wanted)) ask()
    if (opened++ > 0) listener?.again?.()
  }
  mine.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
    heard.value = performance.now()
    hear(event.data)
  }
  mine.onclose = (event) => {
    if (socket !== mine) return
    socket = null
    if (event.code === NOT_SIGNED_IN) {
      signedOut.value = true
      return
    }
    link.value = opened > 0 || wait > FIRST_WAIT_MS ? 'lost' : 'connecting'
    if (!wanted) return
    timer = window.setTimeout(() => connect(), wait * (0.5 + Math.random() / 2))
    wait = Math.min(LONGEST_WAIT_MS, wait * 2)
  }
}

// A laptop that wakes up or finds its network again should not wait out the pause.
window.addEventListener('online', () => {
  if (!socket && wanted) connect()
})
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !socket && wanted) connect()
})
