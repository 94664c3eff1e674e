/** The host's facts, its labels, and its removal. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { patch, remove } from '../api/client'
import type { Host } from '../api/types'
import { known, moment, t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { complain, reason, tell } from '../shell/notice'
import { hosts } from '../state/fleet'
import { go } from '../state/route'
import { mayAdminister, mayOperate } from '../state/session'

/** Facts that the page's head already tells. */
const SHOWN_ABOVE = new Set(['hostname', 'os', 'cores', 'memory_bytes', 'agent_version', 'labels'])

function blank(value: unknown): boolean {
  return value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
}

function text(value: unknown): string {
  if (value === null || value === undefined || value === '') return '—'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function HostAbout({ facts, onChange }: { facts: Host; onChange: (next: Host) => void }): JSX.Element {
  const editing = useSignal(false)
  const leaving = useSignal(false)
  const rows: [string, string][] = [
    [t('about.agent'), text(facts.agent_version)],
    [t('about.firstSeen'), facts.first_seen === null ? '—' : moment(facts.first_seen)],
    [t('about.lastSeen'), facts.last_seen === null ? '—' : moment(facts.last_seen)],
    ...Object.entries(facts.facts ?? {})
      .filter(([name, value]) => !SHOWN_ABOVE.has(name) && !blank(value))
      .map(([name, value]): [string, string] => [known(`about.${name}`) ? t(`about.${name}`) : name, text(value)]),
    ...Object.entries(facts.labels).map(([name, value]): [string, string] => [known(`table.${name}`) ? t(`table.${name}`) : name, value]),
  ]
  return (
    <section class="about">
      <div class="section-head">
        <h2>{t('about.title')}</h2>
        <div class="about-acts">
          {mayOperate.value && <button class="btn" onClick={() => (editing.value = true)}>{t('about.labels')}</button>}
          {mayAdminister.value && <button class="btn danger" onClick={() => (leaving.value = true)}>{t('about.remove')}</button>}
        </div>
      </div>
      <dl class="facts num">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {editing.value && <Labels facts={facts} onClose={() => (editing.value = false)} onChange={onChange} />}
      {leaving.value && <Leave name={facts.name} onClose={() => (leaving.value = false)} />}
    </section>
  )
}

function Labels({ facts, onClose, onChange }: { facts: Host; onClose: () => void; onChange: (next: Host) => void }): JSX.Element {
  const rows = useSignal<[string, string][]>(Object.entries({ site: '', role: '', ...facts.labels }))
  const wrong = useSignal('')
  const set = (at: number, side: 0 | 1, value: string): void => {
    rows.value = rows.value.map((row, i) => (i === at ? (side === 0 ? [value, row[1]] : [row[0], value]) : row))
  }
  const save = async (e: Event): Promise<void> => {
    e.preventDefault()
    try {
      const labels = Object.fromEntries(rows.value.map(([k, v]) => [k.trim(), v.trim()]).filter(([k, v]) => k !== '' && v !== ''))
      onChange(await patch<Host>(`/hosts/${encodeURIComponent(facts.name)}`, { labels }))
      hosts.value = null
      tell(t('about.saved'))
      onClose()
    } catch (error) {
      wrong.value = reason(error)
    }
  }
  return (
    <Dialog label={t('about.labels')} onClose={onClose}>
      <form onSubmit={save}>
        <h3>{t('about.labelsOf', { name: facts.name })}</h3>
        {rows.value.map(([name, value], i) => (
          <div class="pair" key={i}>
            <input class="input" aria-label={t('about.labelName')} value={name} onInput={(e) => set(i, 0, e.currentTarget.value)} />
            <input class="input" aria-label={t('about.labelValue', { name })} value={value} onInput={(e) => set(i, 1, e.currentTarget.value)} />
          </div>
        ))}
        <div>
          <button type="button" class="btn quiet" onClick={() => (rows.value = [...rows.value, ['', '']])}>{t('about.addLabel')}</button>
        </div>
        <p class="wrong" role="alert">{wrong.value}</p>
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong">{t('save')}</button>
        </div>
      </form>
    </Dialog>
  )
}

function Leave({ name, onClose }: { name: string; onClose: () => void }): JSX.Element {
  const typed = useSignal('')
  const leave = async (e: Event): Promise<void> => {
    e.preventDefault()
    try {
      await remove(`/hosts/${encodeURIComponent(name)}`)
      hosts.value = null
      tell(t('about.removed', { name }))
      go('/fleet')
    } catch (error) {
      complain(error)
      onClose()
    }
  }
  return (
    <Dialog label={t('about.remove')} onClose={onClose}>
      <form onSubmit={leave}>
        <h3>{t('about.removeTitle', { name })}</h3>
        <p>{t('about.removeWhat')}</p>
        <label class="field">
          <span>{t('about.removeType', { name })}</span>
          <input class="input" autoFocus autoComplete="off" value={typed.value} onInput={(e) => (typed.value = e.currentTarget.value)} />
        </label>
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn danger" disabled={typed.value !== name}>{t('about.remove')}</button>
        </div>
      </form>
    </Dialog>
  )
}
