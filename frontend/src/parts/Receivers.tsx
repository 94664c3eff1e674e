/** Receivers and routes: who is told of incidents, added and changed here or read from the file. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { get, post, remove } from '../api/client'
import type { NotifyRoutesView, Receiver, Receivers as ReceiverList, ReceiverTypesView, SavedReceiverView } from '../api/types'
import { moment, t } from '../i18n'
import { Icon } from '../shell/icons'
import { complain, tell } from '../shell/notice'
import { mayAdminister, mayChange, mayMake, mayOperate } from '../state/session'
import { Show, useAsked, Verdict } from './asked'
import { Sure } from './form'
import { ReceiverForm, typeName } from './ReceiverForm'
import { RoutesForm } from './RoutesForm'
import '../styles/receivers.css'
import '../styles/steps.css'

/** After a change the list is looked at again when the notifier has taken it up. */
export function Receivers(): JSX.Element {
  const list = useAsked<ReceiverList>('/receivers', 10_000)
  const types = useAsked<ReceiverTypesView>(mayMake.value ? '/receiver-types' : null)
  const edited = useSignal<SavedReceiverView | 'new' | null>(null)
  const routes = useSignal<NotifyRoutesView | null>(null)
  const busy = useSignal('')
  const test = async (name: string): Promise<void> => {
    busy.value = name
    try {
      await post(`/receivers/${encodeURIComponent(name)}/test`)
      tell(t('receivers.sent', { name }))
    } catch (error) {
      complain(error)
    } finally {
      busy.value = ''
    }
  }
  const edit = (name: string): void => void get<SavedReceiverView>(`/receivers/${encodeURIComponent(name)}`).then((one) => (edited.value = one), complain)
  const drop = async (name: string): Promise<void> => {
    try {
      const one = await get<SavedReceiverView>(`/receivers/${encodeURIComponent(name)}`)
      await remove(`/receivers/${encodeURIComponent(name)}?before=${one.revision}`)
      tell(t('receivers.removed', { name }))
      await list.load()
    } catch (error) {
      complain(error)
    }
  }
  return (
    <Show of={list}>
      {(data) => (
        <div class="narrow">
          <Verdict
            title={data.receivers.length === 0 ? t('receivers.nobody') : t('receivers.count', { n: data.receivers.length })}
            lead={data.receivers.length === 0 ? t('receivers.nobodyLead') : t('receivers.lead')}
          >
            {mayMake.value && types.data !== null && (
              <button class="btn strong" onClick={() => (edited.value = 'new')}>
                <Icon name="plus" size={14} />
                {t('receivers.new')}
              </button>
            )}
          </Verdict>
          {data.problem !== '' && <p class="wrong" role="alert">{t('receivers.problem', { why: data.problem })}</p>}
          <ul class="list">
            {data.receivers.map((r) => (
              <li class="item with-acts" key={`${r.name} ${String(r.saved)}`}>
                <About one={r} />
                <div class="act-row flush">
                  {mayOperate.value && r.problem === '' && (
                    <button class="btn" aria-label={`${t('receivers.test')}: ${r.name}`} disabled={busy.value === r.name} onClick={() => void test(r.name)}>{t('receivers.test')}</button>
                  )}
                  {types.data !== null && mayChange(r.name) && r.saved && (
                    <>
                      <button class="btn" aria-label={`${t('edit')}: ${r.name}`} onClick={() => edit(r.name)}>{t('edit')}</button>
                      <Sure text={t('receivers.remove')} what={t('receivers.removeSure')} label={`${t('receivers.remove')}: ${r.name}`} onSure={() => drop(r.name)} />
                    </>
                  )}
                </div>
              </li>
            ))}
          </ul>
          <section class="block">
            <div class="section-head">
              <h2>{t('routes.title')}</h2>
              {mayAdminister.value && data.receivers.length > 0 && (
                <button class="btn" onClick={() => void get<NotifyRoutesView>('/notify-routes').then((found) => (routes.value = found), complain)}>{t('routes.edit')}</button>
              )}
            </div>
            <Paths of={data} />
          </section>
          {edited.value !== null && types.data !== null && (
            <ReceiverForm one={edited.value === 'new' ? undefined : edited.value} types={types.data} onClose={() => (edited.value = null)} onKept={() => void list.load()} />
          )}
          {routes.value !== null && (
            <RoutesForm saved={routes.value} receivers={data.receivers.filter((r) => r.problem === '').map((r) => r.name)} onClose={() => (routes.value = null)} onKept={() => void list.load()} />
          )}
        </div>
      )}
    </Show>
  )
}

function About({ one }: { one: Receiver }): JSX.Element {
  return (
    <div class="item-main">
      <p>
        <b>{one.name}</b> <span class="muted">{typeName(one.type)}</span>
      </p>
      <p class="muted num">
        {one.last_sent_at === null ? t('receivers.never') : t('receivers.last', { time: moment(one.last_sent_at) })}
        {one.waiting > 0 && ` · ${t('receivers.waiting', { n: one.waiting })}`}
      </p>
      {!one.saved && <p class="muted">{t('receivers.ofFile')}</p>}
      {one.problem !== '' && <p class="wrong">{t('receivers.notUsed', { why: one.problem })}</p>}
      {one.last_error !== '' && <p class="wrong">{one.last_error}</p>}
    </div>
  )
}

/** The routes in the order in which they are asked. */
function Paths({ of: { routes, implied, receivers, route_problems: problems } }: { of: ReceiverList }): JSX.Element {
  if (implied || routes.length === 0) return <p class="muted">{receivers.length === 0 ? t('routes.none') : t('routes.implied')}</p>
  return (
    <>
      <ol class="steps">
        {routes.map((r, i) => (
          <li class="step" key={i}>
            <span class="step-mark num">{i + 1}</span>
            <div>
              <p class="step-text">{r.receivers.length === 0 ? t('routes.toNobody') : r.receivers.join(', ')}</p>
              <p class="matchers">{r.match.map((m) => <code key={m}>{m}</code>)}</p>
              <p class="muted">
                {[t('policies.from', { severity: t(`severity.${r.severity}`) }), r.go_on ? t('routes.andOn') : '', r.saved ? '' : t('routes.ofFile')].filter(Boolean).join(' · ')}
              </p>
            </div>
          </li>
        ))}
      </ol>
      {problems.map((why) => <p class="wrong" key={why}>{t('receivers.notUsed', { why })}</p>)}
    </>
  )
}
