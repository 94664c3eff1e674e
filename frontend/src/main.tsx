/** Starts the page: words first, then who is signed in, then the page that the URL names. */
import { render, type ComponentType, type JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { effect, signal } from '@preact/signals'
import { link, subscribe, warm, type Subscription } from './api/live'
import { speak, speakPart, t } from './i18n'
import { bind } from './shell/keys'
import { NoticeLine, tell } from './shell/notice'
import { overlay } from './shell/overlays'
import { PLACES } from './shell/places'
import { More, Shell } from './shell/Shell'
import { firstLanguage, isDark, setTheme } from './state/prefs'
import { incidents, loadIncidents } from './state/incidents'
import { type PageName } from './state/paths'
import { go, route, url } from './state/route'
import { loadSession, unreachable, user } from './state/session'
import { SignIn } from './pages/SignIn'

type Loaded = ComponentType<{ what: string }>

/** Code with the words that only it says; `dev/words.mjs` puts them where they belong. */
const wordy = <T,>(code: Promise<T>, part: string): Promise<T> => Promise.all([code, speakPart(part)]).then(([module]) => module)

const PAGES: Record<PageName, () => Promise<{ default: Loaded }>> = {
  fleet: () => import('./pages/Fleet'),
  host: () => wordy(import('./pages/Host'), 'host'),
  incidents: () => wordy(import('./pages/Incidents'), 'incident'),
  incident: () => wordy(import('./pages/Incident'), 'incident'),
  checklists: () => wordy(import('./pages/Checklists'), 'work'),
  checklist: () => wordy(import('./pages/Checklist'), 'work'),
  scenarios: () => wordy(import('./pages/Scenarios'), 'work'),
  scenario: () => wordy(import('./pages/Scenario'), 'work'),
  round: () => wordy(import('./pages/Round'), 'work'),
  watch: () => wordy(import('./pages/Watch'), 'work'),
  oncall: () => wordy(import('./pages/OnCall'), 'duty'),
  changes: () => wordy(import('./pages/Changes'), 'change'),
  change: () => wordy(import('./pages/Change'), 'change'),
  draft: () => wordy(import('./pages/Draft'), 'change'),
  releases: () => wordy(import('./pages/Releases'), 'change'),
  dependencies: () => wordy(import('./pages/Dependencies'), 'rules'),
  load: () => wordy(import('./pages/Load'), 'report'),
  diary: () => wordy(import('./pages/Diary'), 'report'),
  silences: () => wordy(import('./pages/Silences'), 'duty'),
  checks: () => wordy(import('./pages/Checks'), 'rules'),
  rules: () => wordy(import('./pages/Rules'), 'rules'),
  explore: () => wordy(import('./pages/Explore'), 'rules'),
  settings: () => wordy(import('./pages/Settings'), 'settings'),
  access: () => wordy(import('./pages/Access'), 'settings'),
  missing: () => import('./pages/Missing'),
}

/** Boxes that are opened by a key: fetched at rest, or when they are first asked for. */
const BOXES = {
  palette: () => wordy(import('./shell/Palette'), 'keys').then((m) => m.Palette),
  keys: () => wordy(import('./shell/KeysHelp'), 'keys').then((m) => m.KeysHelp),
}
type BoxName = keyof typeof BOXES
const boxes = signal<Partial<Record<BoxName, () => JSX.Element>>>({})

function needBox(name: BoxName): void {
  if (boxes.peek()[name]) return
  BOXES[name]().then(
    (box) => (boxes.value = { ...boxes.peek(), [name]: box }),
    () => undefined,
  )
}

/** Pages that stay when their section changes; every other one begins anew for another thing. */
const KEEPS = new Set<PageName>(['settings', 'access', 'diary'])

const AGAIN_AFTER_MS = 3000
const REST_AFTER_MS = 4000
const BADGE_EVERY_MS = 10_000

const loaded = signal<Partial<Record<PageName, Loaded>>>({})
const failed = signal(false)

function need(name: PageName): void {
  if (loaded.peek()[name]) return
  PAGES[name]().then(
    (module) => (loaded.value = { ...loaded.peek(), [name]: module.default }),
    () => {
      failed.value = true
      again()
    },
  )
}

/** A browser does not ask twice for code that it could not get: once the server answers, begin anew. */
function again(): void {
  setTimeout(() => {
    fetch('/icon.svg', { method: 'GET', cache: 'no-store' }).then((answer) => (answer.ok ? location.reload() : again()), again)
  }, AGAIN_AFTER_MS)
}

function Waiting(): JSX.Element {
  return (
    <div class="waiting" role="status">
      {unreachable.value || failed.value ? t('error.unreachable') : <span class="hidden">{t('loading')}</span>}
    </div>
  )
}

function App(): JSX.Element {
  useEffect(
    () =>
      bind({
        'Ctrl k': () => (overlay.value = overlay.value === 'palette' ? null : 'palette'),
        '?': () => (overlay.value = 'keys'),
        D: () => setTheme(isDark() ? 'light' : 'dark'),
        ...Object.fromEntries(PLACES.map((p) => [`g ${p.key}`, () => go(p.href)])),
        y: () => void copyLink(),
      }),
    [],
  )
  const who = user.value
  const { page, what } = route.value
  useEffect(() => need(page), [page])
  useEffect(() => {
    if (!who || who.must_change_password) return undefined
    if (incidents.peek() === null) void loadIncidents().catch(() => undefined)
    // One subscription a page: those that need none for themselves keep the badge fresh, and the
    // host page, which gets its own numbers, asks.
    if (page === 'host') {
      const timer = setInterval(() => {
        if (!document.hidden) void loadIncidents().catch(() => undefined)
      }, BADGE_EVERY_MS)
      return () => clearInterval(timer)
    }
    if (page === 'fleet' || page === 'incidents' || page === 'incident') return undefined
    return subscribe(
      { page: 'incidents' },
      {
        message(m) {
          if (m.type === 'incidents' || m.type === 'verdict') incidents.value = m.incidents
        },
      },
    )
  }, [who, page])
  if (who === undefined) return <Waiting />
  if (who === null || who.must_change_password) {
    return (
      <>
        <SignIn />
        <NoticeLine />
      </>
    )
  }
  const Current = loaded.value[page]
  const Box = overlay.value === 'palette' || overlay.value === 'keys' ? boxes.value[overlay.value] : undefined
  if (page === 'watch') return Current ? <Current what={what} key={what} /> : <Waiting />
  return (
    <>
      <Shell>{Current ? <Current what={what} key={`${page}/${KEEPS.has(page) ? '' : what}`} /> : <Waiting />}</Shell>
      {Box && <Box />}
      {overlay.value === 'more' && <More />}
      <NoticeLine />
    </>
  )
}

/** Copies the address; pages that show a moving window put absolute times into it first. */
export async function copyLink(): Promise<void> {
  const wanted = new CustomEvent<{ url: string }>('vezha:link', { detail: { url: url.peek().href } })
  dispatchEvent(wanted)
  try {
    await navigator.clipboard.writeText(wanted.detail.url)
    tell(t('link.copied'))
  } catch {
    tell(t('link.notCopied'), true)
  }
}

/** Says once that the link was lost, and once that it is back. */
function announceLink(): void {
  let was = link.peek()
  link.subscribe((now) => {
    if (now === was) return
    // whoever must choose a password first has no link yet, and misses none
    if (now === 'lost' && user.peek()?.must_change_password === false) tell(t('live.lost'), true)
    else if (was === 'lost' && now === 'live') tell(t('live.back'))
    was = now
  })
}

/** What the live channel will be asked for by the page, known before the page's own code is here. */
function listensTo(page: PageName, what: string): Subscription {
  if (page === 'host') return { page: 'host', host: what }
  return { page: page === 'fleet' ? 'fleet' : 'incidents' }
}

async function start(): Promise<void> {
  const { page, what } = route.peek()
  const words = speak(firstLanguage())
  need(page)
  warm(listensTo(page, what))
  const session = loadSession()
  // The frame that came with the HTML stays until it is known whether somebody is signed in.
  await Promise.all([words, session])
  effect(() => {
    if (user.value === null && overlay.peek()) overlay.value = null
  })
  effect(() => {
    if (overlay.value === 'palette' || overlay.value === 'keys') needBox(overlay.value)
  })
  announceLink()
  render(<App />, document.getElementById('app')!)
}

/** What nobody waits for is fetched when the page is at rest: the boxes, the service worker. */
function atRest(): void {
  const work = (): void => {
    ;(Object.keys(BOXES) as BoxName[]).forEach(needBox)
    if ('serviceWorker' in navigator && !import.meta.env.DEV) void import('./shell/worker').then(({ worker }) => worker()).catch(() => undefined)
  }
  setTimeout(() => ('requestIdleCallback' in window ? requestIdleCallback(work) : work()), REST_AFTER_MS)
}

void start().then(atRest)
