/** Ctrl K: any host, incident, page or action, by a few letters. */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Severity, State } from '../api/types'
import { language, t } from '../i18n'
import { mine } from '../parts/asked'
import { hosts, loadHosts, stateOf } from '../state/fleet'
import { incidents, loadIncidents, order } from '../state/incidents'
import { isDark, setLanguage, setTheme } from '../state/prefs'
import { hostPath, incidentPath } from '../state/paths'
import { go } from '../state/route'
import { mayOperate, signOut } from '../state/session'
import { Dialog } from './Dialog'
import { Icon, type IconName } from './icons'
import { Mark } from './Mark'
import { complain } from './notice'
import { overlay } from './overlays'
import { PLACES } from './places'
import { rank } from './rank'

interface Item {
  text: string
  aside: string
  icon?: IconName
  mark?: State | Severity
  run: () => void
}

const MOST = 50

function actions(): Item[] {
  const to = (path: string) => () => go(path)
  const list: Item[] = [
    ...PLACES.map((p) => ({ text: t(p.text), aside: `g ${p.key}`, icon: p.icon, run: to(p.href) })),
    { text: t('page.releases'), aside: '', icon: 'changes', run: to('/releases') },
    { text: t('page.dependencies'), aside: '', icon: 'incidents', run: to('/dependencies') },
    { text: t('access.audit'), aside: '', icon: 'access', run: to('/audit') },
    { text: t('theme.switch'), aside: 'D', icon: isDark() ? 'sun' : 'moon', run: () => setTheme(isDark() ? 'light' : 'dark') },
    { text: language() === 'en' ? t('language.uk') : t('language.en'), aside: '', icon: 'settings', run: () => void setLanguage(language() === 'en' ? 'uk' : 'en') },
    { text: t('keys.title'), aside: '?', icon: 'table', run: () => (overlay.value = 'keys') },
    { text: t('session.out'), aside: '', icon: 'out', run: () => void signOut().catch(complain) },
  ]
  if (mayOperate.value) list.splice(-4, 0, { text: t('draft.new'), aside: '', icon: 'plus', run: to('/draft/new') }, { text: t('enrol.title'), aside: '', icon: 'plus', run: to('/settings/hosts') })
  return list
}

export function Palette(): JSX.Element {
  const text = useSignal('')
  const at = useSignal(0)
  const list = useRef<HTMLUListElement>(null)
  useEffect(() => {
    if (hosts.peek() === null) void loadHosts().catch(() => undefined)
    if (incidents.peek() === null) void loadIncidents().catch(() => undefined)
  }, [])
  const found = useComputed<Item[]>(() => {
    const word = text.value.trim()
    const open = order(incidents.value ?? []).filter((i) => i.state !== 'resolved')
    const items: Item[] = [
      ...open.map((i) => ({ text: mine(i.title, i.title_uk), aside: t(`incident.state.${i.state}`), mark: i.severity, run: () => go(incidentPath(i.id)) })),
      ...(word === '' ? actions() : []),
      ...(hosts.value ?? []).map((h, index) => ({
        text: h.name,
        aside: [h.labels.site, h.labels.role].filter(Boolean).join(' · '),
        mark: stateOf(index),
        run: () => go(hostPath(h.name)),
      })),
      ...(word === '' ? [] : actions()),
    ]
    return rank(items, word).slice(0, MOST)
  })
  const close = (): void => {
    overlay.value = null
  }
  const run = (item: Item | undefined): void => {
    if (!item) return
    close()
    item.run()
  }
  const move = (by: number): void => {
    at.value = Math.max(0, Math.min(found.value.length - 1, at.value + by))
    list.current?.children[at.value]?.scrollIntoView({ block: 'nearest' })
  }
  return (
    <Dialog label={t('palette.title')} onClose={close} kind="palette">
      <input
        class="palette-input"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found.value.length > 0 ? `palette-${at.value}` : undefined}
        aria-label={t('palette.title')}
        placeholder={t('palette.hint')}
        autoFocus
        autoComplete="off"
        spellcheck={false}
        value={text.value}
        onInput={(e) => {
          text.value = e.currentTarget.value
          at.value = 0
        }}
        onKeyDown={(e) => {
          if (e.key === 'ArrowDown') move(1)
          else if (e.key === 'ArrowUp') move(-1)
          else if (e.key === 'Enter') run(found.value[at.value])
          else return
          e.preventDefault()
        }}
      />
      <ul class="palette-list" id="palette-list" role="listbox" aria-label={t('palette.title')} ref={list}>
        {found.value.map((item, i) => (
          <li
            key={`${item.text}-${i}`}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === at.value}
            onPointerMove={() => (at.value = i)}
            onClick={() => run(item)}
          >
            {item.mark ? <Mark of={item.mark} size={14} /> : <Icon name={item.icon ?? 'server'} size={14} />}
            <span class="palette-text">{item.text}</span>
            <span class="palette-aside">{item.aside}</span>
          </li>
        ))}
      </ul>
      {found.value.length === 0 && <p class="palette-none">{t('palette.none')}</p>}
    </Dialog>
  )
}
