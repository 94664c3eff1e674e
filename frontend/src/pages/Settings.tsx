/** Settings: hosts to add, receivers of messages, this browser. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, remove } from '../api/client'
import type { Enrolment } from '../api/types'
import { language, LANGUAGES, moment, t } from '../i18n'
import { AddHost } from '../parts/AddHost'
import { PushHere } from '../parts/PushHere'
import { Receivers } from '../parts/Receivers'
import { Sections } from '../parts/Sections'
import { complain, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { keysOn, setKeys, setLanguage, setTheme, theme, type Theme } from '../state/prefs'
import { mayOperate, signOut, user } from '../state/session'
import '../styles/pages.css'

export default function Settings({ what }: { what: string }): JSX.Element {
  useEffect(() => {
    document.title = `${t('page.settings')} · ${t('brand')}`
  })
  const sections = [
    { id: 'hosts', text: t('enrol.title'), href: '/settings/hosts' },
    { id: 'receivers', text: t('receivers.title'), href: '/settings/receivers' },
    { id: 'browser', text: t('browser.title'), href: '/settings/browser' },
  ]
  const here = sections.find((s) => s.id === what) ?? sections[0]
  return (
    <Page trail={[{ text: t('page.settings'), href: '/settings' }, { text: here.text }]}>
      <Sections list={sections} here={here.id} />
      {here.id === 'hosts' && <Hosts />}
      {here.id === 'receivers' && <Receivers />}
      {here.id === 'browser' && <Browser />}
    </Page>
  )
}

function Hosts(): JSX.Element {
  const open = useSignal<Enrolment[] | null>(null)
  const load = (): Promise<void> =>
    get<{ enrolments: Enrolment[] }>('/enrolments').then(
      (found) => void (open.value = found.enrolments),
      () => undefined,
    )
  useEffect(() => {
    if (!mayOperate.value) return undefined
    void load()
    const timer = setInterval(() => !document.hidden && void load(), 3000)
    return () => clearInterval(timer)
  }, [])
  if (!mayOperate.value) {
    return (
      <div class="narrow">
        <h1>{t('enrol.title')}</h1>
        <p class="lead">{t('first.ask')}</p>
      </div>
    )
  }
  const withdraw = (id: number): void => {
    remove(`/enrolments/${id}`).then(() => {
      tell(t('enrol.revoked'))
      return load()
    }, complain)
  }
  return (
    <div class="narrow">
      <h1>{t('enrol.title')}</h1>
      <p class="lead">{t('enrol.lead')}</p>
      <AddHost />
      <section>
        <h2>{t('enrol.pending')}</h2>
        {open.value !== null && open.value.length === 0 && <p class="muted">{t('enrol.none')}</p>}
        <ul class="list">
          {open.value?.map((e) => (
            <li class="item" key={e.id}>
              <div class="item-main">
                <p>{Object.entries(e.labels).map(([k, v]) => `${k} ${v}`).join(' · ') || t('enrol.noLabels')}</p>
                <p class="muted num">
                  {e.created_by}
                  {e.created_at !== null && ` · ${moment(e.created_at)}`}
                  {e.expires_at !== null && ` · ${t('enrol.validUntil', { time: moment(e.expires_at) })}`}
                </p>
              </div>
              <button class="btn" onClick={() => withdraw(e.id)}>{t('enrol.revoke')}</button>
            </li>
          ))}
        </ul>
      </section>
    </div>
  )
}

const THEMES: Theme[] = ['auto', 'light', 'dark']

function Choice({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="item">
      <p class="item-main">{title}</p>
      <div class="seg" role="group" aria-label={title}>
        {children}
      </div>
    </div>
  )
}

function Browser(): JSX.Element {
  return (
    <div class="narrow">
      <h1>{t('browser.title')}</h1>
      <p class="lead">{t('browser.lead')}</p>
      <div class="list">
        <Choice title={t('browser.language')}>
          {LANGUAGES.map((l) => (
            <button key={l} lang={l} aria-pressed={language() === l} onClick={() => void setLanguage(l)}>
              {t(`language.${l}`)}
            </button>
          ))}
        </Choice>
        <Choice title={t('browser.theme')}>
          {THEMES.map((name) => (
            <button key={name} aria-pressed={theme.value === name} onClick={() => setTheme(name)}>
              {t(`browser.theme.${name}`)}
            </button>
          ))}
        </Choice>
        <Choice title={t('browser.keys')}>
          <button aria-pressed={keysOn.value} onClick={() => setKeys(true)}>{t('on')}</button>
          <button aria-pressed={!keysOn.value} onClick={() => setKeys(false)}>{t('off')}</button>
        </Choice>
        <PushHere />
        <div class="item">
          <div class="item-main">
            <p>{user.value?.name}</p>
            <p class="muted">{user.value && t(`role.${user.value.role}`)}</p>
          </div>
          <button class="btn" onClick={() => signOut().catch(complain)}>{t('session.out')}</button>
        </div>
      </div>
    </div>
  )
}
