/** The binary frames of the live channel, little-endian. */

export const CELLS = 6
/** Says "not known" in a fleet cell. */
export const UNKNOWN = 255
export const STATES = ['normal', 'warning', 'critical', 'silent', 'unknown'] as const

const FLEET = 1
const HOST = 2
const HOST_CHANGES = 3
const HEAD_BYTES = 16

export interface FleetFrame {
  kind: 'fleet'
  full: boolean
  revision: number
  time: number
  /** Hosts in this frame. */
  count: number
  view: DataView
}

export interface HostFrame {
  kind: 'host'
  revision: number
  time: number
  /** One value per series, NaN for a gap. */
  values: Float32Array
}

/** What changed of a host since the frame before. */
export interface HostChanges {
  kind: 'changes'
  revision: number
  time: number
  /** Lines of the host, changed or not. */
  count: number
  view: DataView
}

/** Reads one message; `null` when it is none that we know (a newer server may send more kinds). */
export function decode(buffer: ArrayBuffer): FleetFrame | HostFrame | HostChanges | null {
  if (buffer.byteLength < HEAD_BYTES) return null
  const view = new DataView(buffer)
  const kind = view.getUint8(0)
  const revision = view.getUint16(2, true)
  const time = view.getFloat64(4, true)
  const count = view.getUint32(12, true)
  if (kind === FLEET) {
    const full = view.getUint8(1) === 1
    const size = full ? CELLS : CELLS + 4
    if (buffer.byteLength !== HEAD_BYTES + count * size) return null
    return { kind: 'fleet', full, revision, time, count, view }
  }
  if (kind === HOST) {
    if (buffer.byteLength !== HEAD_BYTES + count * 4) return null
    return { kind: 'host', revision, time, values: new Float32Array(buffer, HEAD_BYTES, count) }
  }
  if (kind === HOST_CHANGES) {
    const mask = Math.ceil(count / 8)
    if (buffer.byteLength < HEAD_BYTES + mask) return null
    let changed = 0
    for (let i = 0; i < count; i++) changed += bit(view, i)
    if (buffer.byteLength !== HEAD_BYTES + mask + changed * 4) return null
    return { kind: 'changes', revision, time, count, view }
  }
  return null
}

const bit = (view: DataView, i: number): number => (view.getUint8(HEAD_BYTES + (i >> 3)) >> (i & 7)) & 1

/** The frame that follows `before` by what changed; null where it follows another one. */
export function follow(before: HostFrame | null, changes: HostChanges): HostFrame | null {
  const { revision, time, count, view } = changes
  if (before?.revision !== revision || before.values.length !== count) return null
  const values = before.values.slice()
  let at = HEAD_BYTES + Math.ceil(count / 8)
  for (let i = 0; i < count; i++) {
    if (bit(view, i) === 0) continue
    values[i] = view.getFloat32(at, true)
    at += 4
  }
  return { kind: 'host', revision, time, values }
}

/** Writes the frame into `cells` (hosts × 6). False when it names a host that is not there. */
export function apply(frame: FleetFrame, cells: Uint8Array): boolean {
  const hosts = cells.length / CELLS
  if (frame.full) {
    if (frame.count !== hosts) return false
    cells.set(new Uint8Array(frame.view.buffer, HEAD_BYTES, frame.count * CELLS))
    return true
  }
  let at = HEAD_BYTES
  for (let i = 0; i < frame.count; i++, at += CELLS + 4) {
    const index = frame.view.getUint32(at, true)
    if (index >= hosts) return false
    for (let c = 0; c < CELLS; c++) cells[index * CELLS + c] = frame.view.getUint8(at + 4 + c)
  }
  return true
}
