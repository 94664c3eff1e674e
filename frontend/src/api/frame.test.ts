import { describe, expect, it } from 'vitest'
import { apply, CELLS, decode, follow } from './frame'

function fleet(full: boolean, revision: number, rows: [number, number[]][]): ArrayBuffer {
  const size = full ? CELLS : CELLS + 4
  const buffer = new ArrayBuffer(16 + rows.length * size)
  const view = new DataView(buffer)
  view.setUint8(0, 1)
  view.setUint8(1, full ? 1 : 0)
  view.setUint16(2, revision, true)
  view.setFloat64(4, 1763870000.25, true)
  view.setUint32(12, rows.length, true)
  rows.forEach(([index, cells], i) => {
    let at = 16 + i * size
    if (!full) {
      view.setUint32(at, index, true)
      at += 4
    }
    cells.forEach((c, k) => view.setUint8(at + k, c))
  })
  return buffer
}

describe('fleet frames', () => {
  const rows: [number, number[]][] = [
    [0, [0, 10, 20, 30, 40, 50]],
    [1, [2, 255, 255, 0, 100, 1]],
  ]

  it('replace all cells when full', () => {
    const frame = decode(fleet(true, 7, rows))
    expect(frame).toMatchObject({ kind: 'fleet', full: true, revision: 7, time: 1763870000.25, count: 2 })
    const cells = new Uint8Array(12)
    if (frame?.kind !== 'fleet') throw new Error('not a fleet frame')
    expect(apply(frame, cells)).toBe(true)
    expect([...cells]).toEqual(rows.flatMap(([, c]) => c))
  })

  it('change only what a delta names', () => {
    const cells = new Uint8Array(18).fill(9)
    const frame = decode(fleet(false, 7, [[2, [1, 2, 3, 4, 5, 6]]]))
    if (frame?.kind !== 'fleet') throw new Error('not a fleet frame')
    expect(apply(frame, cells)).toBe(true)
    expect([...cells]).toEqual([...new Array(12).fill(9), 1, 2, 3, 4, 5, 6])
  })

  it('are refused when they name a host that is not there', () => {
    const cells = new Uint8Array(6)
    const delta = decode(fleet(false, 7, [[1, [1, 2, 3, 4, 5, 6]]]))
    const full = decode(fleet(true, 7, rows))
    if (delta?.kind !== 'fleet' || full?.kind !== 'fleet') throw new Error('not fleet frames')
    expect(apply(delta, cells)).toBe(false)
    expect(apply(full, cells)).toBe(false)
    expect([...cells]).toEqual([0, 0, 0, 0, 0, 0])
  })
})

describe('host frames', () => {
  it('carry one value per series, NaN for a gap', () => {
    const buffer = new ArrayBuffer(16 + 12)
    const view = new DataView(buffer)
    view.setUint8(0, 2)
    view.setUint16(2, 65535, true)
    view.setFloat64(4, 5, true)
    view.setUint32(12, 3, true)
    ;[1.5, NaN, -2].forEach((v, i) => view.setFloat32(16 + i * 4, v, true))
    const frame = decode(buffer)
    if (frame?.kind !== 'host') throw new Error('not a host frame')
    expect(frame.revision).toBe(65535)
    expect([...frame.values]).toEqual([1.5, NaN, -2])
  })
})

describe('what changed of a host', () => {
  const changes = (revision: number, count: number, changed: [number, number][]): ArrayBuffer => {
    const mask = Math.ceil(count / 8)
    const view = new DataView(new ArrayBuffer(16 + mask + 4 * changed.length))
    view.setUint8(0, 3)
    view.setUint16(2, revision, true)
    view.setFloat64(4, 6, true)
    view.setUint32(12, count, true)
    changed.forEach(([i, v], k) => {
      view.setUint8(16 + (i >> 3), view.getUint8(16 + (i >> 3)) | (1 << (i & 7)))
      view.setFloat32(16 + mask + 4 * k, v, true)
    })
    return view.buffer as ArrayBuffer
  }
  const first = { kind: 'host' as const, revision: 4, time: 5, values: new Float32Array([1, NaN, 3, 4, 5, 6, 7, 8, 9]) }
  const read = (buffer: ArrayBuffer) => {
    const frame = decode(buffer)
    if (frame?.kind !== 'changes') throw new Error('not what changed')
    return frame
  }

  it('leaves all else as it was', () => {
    const next = follow(first, read(changes(4, 9, [[1, 2.5], [8, NaN]])))
    expect([...(next?.values ?? [])]).toEqual([1, 2.5, 3, 4, 5, 6, 7, 8, NaN])
    expect(next?.time).toBe(6)
    expect(first.values[1]).toBeNaN()
  })

  it('is not believed where it follows something else', () => {
    expect(follow(null, read(changes(4, 9, [])))).toBeNull()
    expect(follow(first, read(changes(5, 9, [])))).toBeNull()
    expect(follow(first, read(changes(4, 8, [])))).toBeNull()
    expect(decode(changes(4, 9, [[1, 2]]).slice(0, 20))).toBeNull()
  })
})

describe('what is no frame', () => {
  it('is ignored, whatever its length', () => {
    for (let length = 0; length < 64; length++) {
      const bytes = new Uint8Array(length).map((_, i) => (i * 37 + length) % 256)
      bytes[0] = length % 5
      const frame = decode(bytes.buffer)
      // Only a length that fits its own count may be read.
      if (frame?.kind === 'host') expect(frame.values.length).toBe((length - 16) / 4)
    }
    expect(decode(fleet(true, 1, [[0, [1, 2, 3, 4, 5, 6]]]).slice(0, 21))).toBeNull()
  })
})
