/** The frame around each page: rail, top bar, and on a phone the tabs below. */
import { signal, useComputed } from '@preact/signals'
import type { ComponentChildren, ComponentType, JSX } from 'preact'
import { language, LANGUAGES, speakPart, t } from '../i18n'
import { seeOwn, signOut, user } from '../state/session'
import { unresolved, waiting } from '../state/incidents'
import { isDark, setLanguage, setTheme } from '../state/prefs'
import { route } from '../state/route'
import { walk } from '../state/walk'
import { Dialog } from './Dialog'
import { Icon, Tower } from './icons'
import { LivePill } from './LivePill'
import { complain } from './notice'
import { overlay } from './overlays'
import { FOOT, MAIN, WORK, type Place } from './places'

function PlaceLink({ place, tab = false }: { place: Place; tab?: boolean }): JSX.Element {
  const here = place.pages.includes(route.value.page)
  const badge = place.href === '/incidents' ? unresolved.value.length : 0
  const alarm = place.href === '/incidents' && waiting.value.length > 0
  const worst = alarm ? waiting.value[0].severity : ''
  return (
    <a class={`place ${tab ? '' : 'no-tab'}`} href={place.href} title={t(place.text)} aria-current={here ? 'page' : undefined}>
      <span class="place-icon">
        <Icon name={place.icon} />
        {alarm && <i class={`dot ${worst}`} />}
      </span>
      <span class="place-text">{t(place.text)}</span>
      {badge > 0 && <span class={`badge num ${worst}`}>{badge}</span>}
    </a>
  )
}

export function NextLanguage(): JSX.Element {
  const next = LANGUAGES[(LANGUAGES.indexOf(language()) + 1) % LANGUAGES.length]
  return (
    <button class="foot-btn" lang={next} title={t(`language.${next}`)} onClick={() => void setLanguage(next)}>
      {t(`language.${language()}`)}
    </button>
  )
}

function Rail(): JSX.Element {
  const dark = useComputed(() => isDark())
  return (
    <nav class="rail" aria-label={t('nav.main')}>
      <a class="brand" href="/fleet">
        <Tower />
        <span>{t('brand')}</span>
      </a>
      <div class="places">
        {MAIN.map((place) => (
          <PlaceLink key={place.href} place={place} tab={place.tab} />
        ))}
        <button class="place tab-only" aria-haspopup="dialog" onClick={() => (overlay.value = 'more')}>
          <span class="place-icon">
            <Icon name="more" />
          </span>
          <span class="place-text">{t('nav.more')}</span>
        </button>
      </div>
      <div class="places work">
        {WORK.map((place) => (
          <PlaceLink key={place.href} place={place} />
        ))}
      </div>
      <div class="places foot">
        {FOOT.map((place) => (
          <PlaceLink key={place.href} place={place} />
        ))}
        <div class="person">
          <Icon name="user" />
          <span class="who" title={user.value?.name}>{user.value?.name}</span>
          <button class="icon-btn" title={t('session.out')} aria-label={t('session.out')} onClick={() => signOut().catch(complain)}>
            <Icon name="out" size={15} />
          </button>
        </div>
        <div class="foot-row">
          <NextLanguage />
          <button class="icon-btn" title={t('theme.switch')} aria-label={t('theme.switch')} onClick={() => setTheme(isDark() ? 'light' : 'dark')}>
            <Icon name={dark.value ? 'moon' : 'sun'} size={14} />
          </button>
        </div>
      </div>
    </nav>
  )
}

/** What a phone has no room for: the other pages. */
export function More(): JSX.Element {
  const close = (): void => {
    overlay.value = null
  }
  return (
    <Dialog label={t('nav.more')} onClose={close} kind="more">
      <div class="dialog-head">
        <h3>{t('nav.more')}</h3>
        <button class="icon-btn" aria-label={t('close')} onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <nav aria-label={t('nav.more')} onClick={close}>
        {[...MAIN.filter((p) => !p.tab), ...WORK, ...FOOT].map((place) => (
          <PlaceLink key={place.href} place={place} tab />
        ))}
      </nav>
    </Dialog>
  )
}

interface ShellProps {
  /** From the general to the particular; the last one is this page. */
  trail: { text: string; href?: string }[]
  /** What stands right in the top bar beside search; the plain live pill when absent. */
  tools?: ComponentChildren
  children: ComponentChildren
}

/** Who looks through other eyes is told so on every page, and how to end it. */
function Eyes(): JSX.Element | null {
  const who = user.value
  if (!who?.seen_by) return null
  const role = t(`role.${who.role}`)
  return (
    <div class="eyes" role="status">
      <p>{who.name === who.seen_by ? t('eyes.role', { role }) : t('eyes.person', { name: who.name, role })}</p>
      <button class="btn" onClick={() => seeOwn().catch(complain)}>{t('eyes.end')}</button>
    </div>
  )
}

/** One page's frame. */
export function Page({ trail, tools, children }: ShellProps): JSX.Element {
  return (
    <>
      <Eyes />
      <header class="top">
        <ol class="trail" aria-label={t('nav.trail')}>
          {trail.map((step, i) => (
            <li key={step.text}>
              {step.href ? <a href={step.href}>{step.text}</a> : <span aria-current={i === trail.length - 1 ? 'page' : undefined}>{step.text}</span>}
            </li>
          ))}
        </ol>
        <div class="tools">
          <button class="tool search" onClick={() => (overlay.value = 'palette')}>
            <Icon name="search" />
            <span class="tool-text">{t('palette.open')}</span>
            <span class="key">Ctrl K</span>
          </button>
          {tools ?? <LivePill />}
        </div>
      </header>
      <main class="main" id="main" tabIndex={-1}>
        {children}
      </main>
    </>
  )
}

/** Its code comes when the first scenario is walked, with words that the first page does not bring. */
const WalkBar = signal<ComponentType | null>(null)
walk.subscribe((now) => {
  if (now && !WalkBar.peek()) void Promise.all([import('./WalkBar'), speakPart('more')]).then(([m]) => (WalkBar.value = m.default))
})

export function Shell({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <div class="shell">
      <a class="skip" href="#main">{t('nav.skip')}</a>
      <Rail />
      <div class="stage">
        {children}
        {walk.value && WalkBar.value && <WalkBar.value />}
      </div>
    </div>
  )
}
