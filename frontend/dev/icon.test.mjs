import { readFileSync } from 'node:fs'
import { inflateSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { drawIcon, readIcon } from './icon.mjs'

const SVG = readFileSync(new URL('../public/icon.svg', import.meta.url), 'utf8')

/** The pixel's colour in a PNG without filters, 8 bits a colour. */
function pixel(png, side, x, y) {
  const at = png.indexOf('IDAT')
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)))
  const from = y * (side * 3 + 1) + 1 + x * 3
  return `#${rows.subarray(from, from + 3).toString('hex')}`
}

it('the icon is drawn as the SVG says', () => {
  const { side, ground, ink } = readIcon(SVG)
  const png = drawIcon(SVG, side * 6)
  expect(png.subarray(1, 4).toString()).toBe('PNG')
  expect(png.readUInt32BE(16)).toBe(side * 6)
  const at = (x, y) => pixel(png, side * 6, Math.round(x * 6), Math.round(y * 6))
  // the corner, the sky between two merlons, the gate, the wall, a merlon
  expect([at(0, 0), at(13.2, 8), at(16, 23), at(16, 16), at(10, 8)]).toEqual([ground, ground, ground, ink, ink])
  // the gate's arch is round: open at its crown, wall at its shoulder
  expect([at(16, 19.6), at(14.2, 19.2)]).toEqual([ground, ink])
})
