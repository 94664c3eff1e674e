/** Hosts that do not run what was delivered to them, and the way to mend it: first what it would do. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { post } from '../api/client'
import type { DriftsView, DriftView, MendingView } from '../api/schema'
import { t } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { Mark } from '../shell/Mark'
import { reason, tell } from '../shell/notice'
import { changePath, hostPath } from '../state/paths'
import { mayOperate } from '../state/session'
import { useAsked } from './asked'

const EVERY_MS = 15_000
const SHOWN = 40

/** Nothing where nobody drifts. With *host* only that one. */
export function Drift({ host = '' }: { host?: string }): JSX.Element | null {
  const asked = useAsked<DriftsView>(`/drift${host ? `?host=${encodeURIComponent(host)}` : ''}`, EVERY_MS)
  const mending = useSignal(false)
  const accepting = useSignal<DriftView | null>(null)
  const list = asked.data?.drift ?? []
  if (list.length === 0) return null
  const again = (): void => void asked.load()
  return (
    <section class="block">
      <div class="section-head">
        <h2>{t('drift.title', { n: new Set(list.map((d) => d.host)).size })}</h2>
        {mayOperate.value && list.some((d) => d.can_be_mended) && <button class="btn" onClick={() => (mending.value = true)}>{t('drift.mend')}</button>}
      </div>
      <ul class="list">
        {list.slice(0, SHOWN).map((d) => (
          <li class="item" key={`${d.host} ${d.kind}`}>
            <Mark of="warning" size={14} />
            <div class="item-main">
              <p>
                <a class="link" href={hostPath(d.host)}>{d.host}</a> <span class="muted">{t(`change.kind.${d.kind}`)}</span>
              </p>
              <p class="muted">
                {t(`drift.${d.code}`, { delivered: d.delivered || '—', runs: d.runs })}
                {d.keys.length > 0 && <code> {d.keys.slice(0, 8).join(', ')}</code>}
                {d.change_id !== null && <> · <a class="link" href={changePath(d.change_id)}>{t('change.number', { id: d.change_id })}</a></>}
              </p>
            </div>
            {mayOperate.value && d.code === 'edited' && <button class="btn quiet" onClick={() => (accepting.value = d)}>{t('drift.accept')}</button>}
          </li>
        ))}
      </ul>
      {list.length > SHOWN && <p class="muted">{t('drift.more', { n: list.length - SHOWN })}</p>}
      {mending.value && <Mend host={host} onClose={() => (mending.value = false)} onDone={again} />}
      {accepting.value && <Accept one={accepting.value} onClose={() => (accepting.value = null)} onDone={again} />}
    </section>
  )
}

function Mend({ host, onClose, onDone }: { host: string; onClose: () => void; onDone: () => void }): JSX.Element {
  const shown = useSignal<MendingView | null>(null)
  const wrong = useSignal('')
  const why = useSignal('')
  const ask = (dry_run: boolean): Promise<MendingView> => post<MendingView>('/drift/mend', { host, why: why.value.trim(), dry_run })
  useEffect(() => {
    ask(true).then((found) => (shown.value = found), (error: unknown) => (wrong.value = reason(error)))
  }, [])
  const lacks = shown.value?.mended.flatMap((m) => m.lacks) ?? []
  return (
    <Dialog label={t('drift.mend')} onClose={onClose} kind="confirm">
      <form
        onSubmit={(e) => {
          e.preventDefault()
          ask(false).then(
            () => {
              tell(t('drift.begun'))
              onDone()
              onClose()
            },
            (error: unknown) => (wrong.value = reason(error)),
          )
        }}
      >
        <h3>{t('drift.mend')}</h3>
        <p>{t('drift.what')}</p>
        {shown.value?.mended.map((m) => <pre class="plan-text mono" key={m.target}>{m.text}</pre>)}
        {shown.value?.left.map((d) => <p class="muted" key={`${d.host} ${d.kind}`}>{t('drift.left', { host: d.host })} {t(`drift.${d.code}`, { delivered: d.delivered || '—', runs: d.runs })}</p>)}
        {shown.value?.told_again.map((d) => <p key={`${d.host} ${d.kind}`}>{t('drift.again', { host: d.host, runs: d.runs })}</p>)}
        {lacks.map((l) => <p class="warning-text" key={l}>{l}</p>)}
        <label class="field">
          <span>{t('steer.why')}</span>
          <input class="input" autoFocus maxLength={1000} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />
        </label>
        {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong" disabled={shown.value === null || lacks.length > 0}>{t('drift.begin')}</button>
        </div>
      </form>
    </Dialog>
  )
}

function Accept({ one, onClose, onDone }: { one: DriftView; onClose: () => void; onDone: () => void }): JSX.Element {
  const why = useSignal('')
  const wrong = useSignal('')
  return (
    <Dialog label={t('drift.accept')} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          post('/drift/accept', { host: one.host, why: why.value.trim() }).then(
            () => {
              tell(t('drift.accepted', { host: one.host }))
              onDone()
              onClose()
            },
            (error: unknown) => (wrong.value = reason(error)),
          )
        }}
      >
        <h3>{t('drift.accept')}</h3>
        <p>{t('drift.acceptWhat', { host: one.host, keys: one.keys.join(', ') })}</p>
        <label class="field">
          <span>{t('run.why')}</span>
          <input class="input" required autoFocus maxLength={1000} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />
        </label>
        {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong">{t('drift.accept')}</button>
        </div>
      </form>
    </Dialog>
  )
}
