// Which page says which words, and so in which dictionary each belongs.
//
//     node dev/words.mjs          says what lies elsewhere than it is needed
//     node dev/words.mjs --sort   puts each word where it belongs
//
// The first dictionary (`en.json`) is on every page: what the frame and the fleet page say. A part
// (`en.host.json`) comes with the pages that PARTS gives it; what several parts say is in `en.more.json`.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const SRC = fileURLToPath(new URL('../src', import.meta.url))
export const LANGUAGES = ['en', 'uk']
/** Asked for by the server for the first paint, and by every page for its own name. */
const ALWAYS = /^(brand$|page\.)/

function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? files(join(folder, e.name)) : [join(folder, e.name)]))
}

/** `page -> part` as `main.tsx` says it; the page without a part is the first one. */
export function partsOfPages() {
  const text = readFileSync(join(SRC, 'main.tsx'), 'utf8')
  const out = {}
  for (const [, file, , part] of text.matchAll(/import\('\.\/pages\/(\w+)'\)(, '(\w+)')?/g)) out[`pages/${file}.tsx`] = part ?? ''
  return out
}

function modules() {
  const known = new Map()
  for (const path of files(SRC)) {
    if (!/\.tsx?$/.test(path) || /\.test\.ts$|schema\.ts$/.test(path)) continue
    known.set(relative(SRC, path), readFileSync(path, 'utf8'))
  }
  return known
}

function importsOf(name, text, known) {
  const out = []
  for (const [, lazy, from] of text.matchAll(/(?:from|import\s*(\()?)\s*'(\.[^']+)'/g)) {
    const base = relative(SRC, resolve(SRC, dirname(name), from))
    const found = [base, `${base}.ts`, `${base}.tsx`, `${base}/index.ts`].find((n) => known.has(n))
    if (found) out.push({ name: found, lazy: lazy !== undefined })
  }
  return out
}

/** Every module that comes with `start`; of `main.tsx` without its pages, which come each with its own. */
function closure(start, known, stop) {
  const seen = new Set()
  const visit = (name) => {
    if (seen.has(name)) return
    seen.add(name)
    for (const one of importsOf(name, known.get(name), known)) if (!stop(one)) visit(one.name)
  }
  visit(start)
  return seen
}

/** The words of `all` that a module may say: literals, and whatever a template's shape fits. */
function wordsOf(text, all) {
  const out = new Set()
  for (const [, , literal] of text.matchAll(/(['"])((?:\w|[.$-])+)\1/g)) if (all.has(literal)) out.add(literal)
  for (const [, template] of text.matchAll(/`([^`\n]*\$\{[^`\n]*)`/g)) {
    const fixed = template.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '\u0000')
    if (!/^[a-z]\w*\.[\w.\u0000]*$/i.test(fixed)) continue
    const shape = new RegExp(`^${fixed.replace(/[.]/g, '\\.').replaceAll('\u0000', '.+')}$`)
    for (const word of all) if (shape.test(word)) out.add(word)
  }
  return out
}

/** `word -> dictionary` ("" is the first one) for all words, by what the modules say. */
export function belongs(all) {
  const known = modules()
  const pages = partsOfPages()
  const said = new Map([...known].map(([name, text]) => [name, wordsOf(text, all)]))
  const whole = (names) => new Set([...names].flatMap((name) => [...said.get(name)]))
  const first = whole(closure('main.tsx', known, ({ name, lazy }) => lazy || name in pages))
  for (const page of Object.keys(pages).filter((p) => pages[p] === '')) whole(closure(page, known, ({ lazy }) => lazy)).forEach((w) => first.add(w))
  const users = new Map()
  const use = (part, words) => words.forEach((w) => users.set(w, (users.get(w) ?? new Set()).add(part)))
  for (const [page, part] of Object.entries(pages)) if (part !== '') use(part, whole(closure(page, known, () => false)))
  // What the frame opens later, such as the palette, brings its own part.
  for (const [, file, part] of known.get('main.tsx').matchAll(/import\('\.\/shell\/(\w+)'\), '(\w+)'/g)) use(part, whole(closure(`shell/${file}.tsx`, known, () => false)))
  const out = {}
  for (const word of all) {
    const parts = users.get(word) ?? new Set()
    out[word] = ALWAYS.test(word) || first.has(word) ? '' : parts.size === 1 ? [...parts][0] : 'more'
  }
  return out
}

export const fileOf = (language, part) => join(SRC, 'i18n', part === '' ? `${language}.json` : `${language}.${part}.json`)

/** `part -> words` of one language, as they lie now. */
export function dictionaries(language) {
  const out = {}
  for (const name of readdirSync(join(SRC, 'i18n'))) {
    const match = new RegExp(`^${language}(?:\\.(\\w+))?\\.json$`).exec(name)
    if (match && match[1] !== 'fault') out[match[1] ?? ''] = JSON.parse(readFileSync(join(SRC, 'i18n', name), 'utf8'))
  }
  return out
}

/** Words that lie elsewhere than they are needed: "word: here, there". */
export function misplaced(language) {
  const lies = dictionaries(language)
  const places = Object.entries(lies).flatMap(([part, words]) => Object.keys(words).map((word) => [word, part]))
  const wanted = belongs(new Set(places.map(([word]) => word)))
  return places.filter(([word, part]) => wanted[word] !== part).map(([word, part]) => `${word}: lies in ${part || 'first'}, belongs to ${wanted[word] || 'first'}`)
}

function sort(language) {
  const lies = dictionaries(language)
  const all = Object.assign({}, ...Object.values(lies))
  const wanted = belongs(new Set(Object.keys(all)))
  const parts = new Set([...Object.keys(lies), ...Object.values(wanted)])
  for (const part of parts) {
    const words = Object.fromEntries(Object.entries(all).filter(([word]) => wanted[word] === part))
    writeFileSync(fileOf(language, part), `${JSON.stringify(words, null, 2)}\n`)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--sort')) LANGUAGES.forEach(sort)
  const wrong = LANGUAGES.flatMap(misplaced)
  wrong.forEach((line) => console.error(line))
  process.exitCode = wrong.length > 0 ? 1 : 0
}
