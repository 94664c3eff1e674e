import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'
import { drawIcon } from './dev/icon.mjs'
import { partsOfPages } from './dev/words.mjs'

const OUT = process.env.VEZHA_UI_OUT ?? '../src/vezha/ui/static'

/** What every page needs, or nearly every one. */
const FIRST = /preact|signals|src.(api|i18n.(index|quantity)|state|shell.(?!Palette|KeysHelp|WalkBar|worker)|parts.(now|place|IncidentCard|looks|AddHost))|draw.colours/

/** Text below this many bytes travels in one packet anyway. */
const WORTH_COMPRESSING = 200

/** Writes a `.br` and a `.gz` beside every text file once, so that the server never compresses. */
function compressOnce(): Plugin {
  const visit = (folder: string): void => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name)
      if (statSync(path).isDirectory()) {
        visit(path)
      } else if (/\.(js|css|svg|json|webmanifest)$/.test(name) && name !== 'manifest.json' && name !== 'names.json') {
        const bytes = readFileSync(path)
        if (bytes.length < WORTH_COMPRESSING) continue
        writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }))
        writeFileSync(
          `${path}.br`,
          brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
        )
      }
    }
  }
  return {
    name: 'compress-once',
    apply: 'build',
    closeBundle() {
      visit(OUT)
    },
  }
}

/** The Latin face is on every page, so it is asked for before the style sheet has arrived; yet after
 * what draws the page, which reads well in another face for a moment. */
function preloadFace(): Plugin {
  return {
    name: 'preload-face',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler(_html, context) {
        const face = Object.keys(context.bundle ?? {}).find((n) => /inter-latin-wght.*woff2$/.test(n))
        if (face === undefined) throw new Error('the Latin face is not in the bundle')
        return [
          {
            tag: 'link',
            injectTo: 'head-prepend',
            attrs: { rel: 'preload', as: 'font', type: 'font/woff2', href: `/${face}`, crossorigin: true, fetchpriority: 'low' },
          },
        ]
      },
    },
  }
}

/** The icon as PNG: iOS and some launchers take no SVG. Names and sizes stand in index.html and the manifest. */
const ICONS = { 'apple-touch-icon.png': 180, 'icon-192.png': 192, 'icon-512.png': 512 }

function pngIcons(): Plugin {
  return {
    name: 'png-icons',
    apply: 'build',
    generateBundle() {
      const svg = readFileSync(new URL('./public/icon.svg', import.meta.url), 'utf8')
      for (const [fileName, pixels] of Object.entries(ICONS)) this.emitFile({ type: 'asset', fileName, source: drawIcon(svg, pixels) })
    },
  }
}

/** The names of pages, so that the server can put them into the first paint. */
function pageNames(): Plugin {
  return {
    name: 'page-names',
    apply: 'build',
    generateBundle() {
      const names: Record<string, Record<string, string>> = {}
      for (const language of ['en', 'uk']) {
        const all = JSON.parse(readFileSync(new URL(`./src/i18n/${language}.json`, import.meta.url), 'utf8')) as Record<string, string>
        names[language] = Object.fromEntries(Object.entries(all).filter(([key]) => key === 'brand' || key.startsWith('page.')))
      }
      // Which words a page asks for beside the first ones, so that the server lets them be preloaded.
      names.parts = Object.fromEntries(Object.entries(partsOfPages()).map(([page, part]) => [`src/${page}`, part]))
      this.emitFile({ type: 'asset', fileName: 'names.json', source: JSON.stringify(names) })
    },
  }
}

export default defineConfig({
  base: '/',
  build: {
    outDir: OUT,
    emptyOutDir: true,
    assetsInlineLimit: 0,
    manifest: 'manifest.json',
    modulePreload: { polyfill: false },
    target: 'es2023',
    cssTarget: ['chrome125', 'firefox128', 'safari17.5'],
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // What the entry and the first page share travels in one file: each further one costs a phone
        // another way there and back.
        codeSplitting: {
          groups: [
            { name: 'charts', test: /uplot/, priority: 2 },
            { name: 'shell', test: FIRST, priority: 1 },
          ],
        },
      },
    },
  },
  json: { namedExports: false, stringify: true },
  plugins: [preloadFace(), pageNames(), pngIcons(), compressOnce()],
  server: {
    proxy: { '/api': { target: 'http://127.0.0.1:8470', ws: true } },
  },
})
