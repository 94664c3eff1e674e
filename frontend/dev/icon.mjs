// The icon as PNG, drawn from icon.svg when the pages are built: iOS and some launchers take no SVG.
//
// It understands what the icon is made of: one <rect> behind and one <path> of straight lines and arcs of
// circles. The ground reaches to the edges, since each system cuts its own shape out of it.
import { crc32, deflateSync } from 'node:zlib'

/** Samples a pixel in each direction: edges are smooth. */
const FINE = 4
const ARC_STEPS = 24

/** The SVG's side, colours and outlines (lists of points). */
export function readIcon(svg) {
  const side = Number(/viewBox="0 0 (\d+) \1"/.exec(svg)[1])
  const ground = /<rect [^>]*fill="(#\w{6})"/.exec(svg)[1]
  const [, path, ink] = /<path d="([^"]+)" fill="(#\w{6})"/.exec(svg)
  return { side, ground, ink, outlines: outlinesOf(path) }
}

function outlinesOf(path) {
  const words = path.match(/[a-zA-Z]|-?(?:\d+\.?\d*|\.\d+)/g)
  const outlines = []
  let [x, y, letter, line] = [0, 0, '', []]
  const isNumber = () => words.length > 0 && !/[a-zA-Z]/.test(words[0])
  const next = () => Number(words.shift())
  const to = (nx, ny) => {
    ;[x, y] = [nx, ny]
    line.push([x, y])
  }
  while (words.length > 0) {
    if (!isNumber()) letter = words.shift()
    const [ox, oy] = letter === letter.toLowerCase() ? [x, y] : [0, 0]
    switch (letter.toUpperCase()) {
      case 'M':
        outlines.push((line = []))
        to(ox + next(), oy + next())
        letter = letter === 'm' ? 'l' : 'L'
        break
      case 'L': to(ox + next(), oy + next()); break
      case 'H': to(ox + next(), y); break
      case 'V': to(x, oy + next()); break
      case 'A': {
        const [r, , , large, sweep] = [next(), next(), next(), next(), next()]
        for (const point of arc(x, y, r, large, sweep, ox + next(), oy + next())) to(...point)
        break
      }
      case 'Z': [x, y] = line[0]; break
      default: throw new Error(`icon.svg: the path's ${letter} is not understood`)
    }
  }
  return outlines
}

/** Points along an arc of a circle from (x, y) to (ex, ey), the last one included. */
function arc(x, y, radius, large, sweep, ex, ey) {
  const [dx, dy] = [ex - x, ey - y]
  const chord = Math.hypot(dx, dy)
  const r = Math.max(radius, chord / 2)
  const off = Math.sqrt(Math.max(0, r * r - (chord * chord) / 4)) * (large === sweep ? -1 : 1)
  const [cx, cy] = [(x + ex) / 2 - (off * dy) / chord, (y + ey) / 2 + (off * dx) / chord]
  const from = Math.atan2(y - cy, x - cx)
  let turn = Math.atan2(ey - cy, ex - cx) - from
  if (sweep && turn < 0) turn += 2 * Math.PI
  if (!sweep && turn > 0) turn -= 2 * Math.PI
  const inner = Array.from({ length: ARC_STEPS - 1 }, (_, i) => from + (turn * (i + 1)) / ARC_STEPS)
  return [...inner.map((a) => [cx + r * Math.cos(a), cy + r * Math.sin(a)]), [ex, ey]]
}

/** How much of each pixel the outlines cover, 0 to FINE * FINE, by rows. */
function coverage(outlines, side, pixels) {
  const scale = (pixels * FINE) / side
  const edges = outlines.flatMap((o) => o.map((p, i) => [p, o[(i + 1) % o.length]])).filter(([a, b]) => a[1] !== b[1])
  const out = new Uint8Array(pixels * pixels)
  for (let row = 0; row < pixels * FINE; row++) {
    const y = (row + 0.5) / scale
    const crossings = edges
      .filter(([a, b]) => Math.min(a[1], b[1]) <= y && y < Math.max(a[1], b[1]))
      .map(([a, b]) => (a[0] + ((y - a[1]) / (b[1] - a[1])) * (b[0] - a[0])) * scale)
      .sort((a, b) => a - b)
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      for (let x = Math.round(crossings[i]); x < Math.round(crossings[i + 1]); x++) out[Math.floor(row / FINE) * pixels + Math.floor(x / FINE)]++
    }
  }
  return out
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16))

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const out = Buffer.alloc(body.length + 8)
  out.writeUInt32BE(data.length, 0)
  body.copy(out, 4)
  out.writeUInt32BE(crc32(body), body.length + 4)
  return out
}

/** The icon as a PNG of so many pixels a side: opaque, 8 bits a colour. */
export function drawIcon(svg, pixels) {
  const { side, ground, ink, outlines } = readIcon(svg)
  const covered = coverage(outlines, side, pixels)
  const [back, front] = [rgb(ground), rgb(ink)]
  const rows = Buffer.alloc(pixels * (pixels * 3 + 1))
  for (let y = 0; y < pixels; y++) {
    for (let x = 0; x < pixels; x++) {
      const share = covered[y * pixels + x] / (FINE * FINE)
      for (let c = 0; c < 3; c++) rows[y * (pixels * 3 + 1) + 1 + x * 3 + c] = Math.round(back[c] + (front[c] - back[c]) * share)
    }
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(pixels, 0)
  head.writeUInt32BE(pixels, 4)
  head.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', head), chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))])
}
