/** Numbers with a unit: which multiple a person would say, and with how many digits. */
import { number, unitWord } from './index'

export interface Quantity {
  value: string
  unit: string
}

interface Scale {
  /** Steps from small to large: the unit's name and how many base units it holds. */
  steps: readonly (readonly [string, number])[]
}

const SCALES: Record<string, Scale> = {
  bytes: { steps: [['B', 1], ['KB', 1e3], ['MB', 1e6], ['GB', 1e9], ['TB', 1e12], ['PB', 1e15]] },
  /** Memory is sold in powers of two. */
  ram: { steps: [['MB', 2 ** 20], ['GB', 2 ** 30], ['TB', 2 ** 40]] },
  'bytes/s': { steps: [['B/s', 1], ['KB/s', 1e3], ['MB/s', 1e6], ['GB/s', 1e9]] },
  'bits/s': { steps: [['bit/s', 1], ['kbit/s', 1e3], ['Mbit/s', 1e6], ['Gbit/s', 1e9]] },
  seconds: { steps: [['us', 1e-6], ['ms', 1e-3], ['s', 1], ['min', 60], ['h', 3600], ['d', 86400]] },
  '/s': { steps: [['/s', 1], ['k/s', 1e3], ['M/s', 1e6]] },
  '': { steps: [['', 1], ['k', 1e3], ['M', 1e6], ['G', 1e9]] },
}

/** The other words that a server may use for a unit we know. */
const SAME: Record<string, string> = {
  percent: '%',
  count: '',
  none: '',
  number: '',
  s: 'seconds',
  B: 'bytes',
  byte: 'bytes',
  'B/s': 'bytes/s',
  bytes_per_second: 'bytes/s',
  'bit/s': 'bits/s',
  bits_per_second: 'bits/s',
  per_second: '/s',
  'ops/s': '/s',
  celsius: '°C',
}

/** Of `unit`, the multiple in which `size` reads best: its name and what to divide by. */
export function multiple(size: number, unit: string): readonly [string, number] {
  const name = SAME[unit] ?? unit
  const steps = SCALES[name]?.steps
  if (!steps) return [name, 1]
  const big = Math.abs(size)
  // Four digits of a plain number still read well ("2 680 /s"); of bytes they do not.
  const limit = name === '' || name === '/s' ? 10 : 1
  let best = steps[0]
  for (const step of steps) if (big >= step[1] * limit) best = step
  if (name === 'seconds' && big < 1e-6) best = steps[1]
  return best
}

/** Three meaning digits: 0.34, 3.5, 31, 2 680. */
export function digitsFor(size: number): number {
  const big = Math.abs(size)
  if (big === 0 || big >= 20) return 0
  return big >= 1 ? 1 : 2
}

export function quantity(value: number, unit: string, like = value): Quantity {
  const [name, by] = multiple(like, unit)
  const scaled = value / by
  return { value: number(scaled, digitsFor(scaled)), unit: unitWord(name) }
}
