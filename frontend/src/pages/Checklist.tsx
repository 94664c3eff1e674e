/** A run of a checklist: what is done, what comes now, who did it. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { post } from '../api/client'
import type { RunDetailView } from '../api/schema'
import { clock, duration, moment, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { useNow } from '../parts/now'
import { RunSteps, stepsOf } from '../parts/RunSteps'
import { bind } from '../shell/keys'
import { complain, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { changePath, incidentPath } from '../state/paths'
import { mayOperate } from '../state/session'
import '../styles/pages.css'

const EVERY_MS = 3000

interface Event {
  number: number
  at: number | null
  kind: string
  actor: string
  step: number | null
  text: string
}

export default function Checklist({ what: id }: { what: string }): JSX.Element {
  const path = `/checklist-runs/${encodeURIComponent(id)}`
  const asked = useAsked<RunDetailView>(path, EVERY_MS)
  const reason = useSignal('')
  const now = useNow()
  const act = async (what: string, body: object = {}, done = ''): Promise<void> => {
    try {
      asked.set(await post<RunDetailView>(`${path}/${what}`, body))
      reason.value = ''
      if (done) tell(done)
    } catch (error) {
      complain(error)
    }
  }
  const run = asked.data
  useTitle(run ? mine(run.title, run.title_uk) : t('page.checklists'))
  const current = run && stepsOf(run).find((s) => s.state === 'open')
  useEffect(
    () =>
      bind({
        x: () => {
          if (run?.state === 'running' && current && !['number', 'text', 'choice', 'yes/no'].includes(current.kind) && mayOperate.peek()) {
            void act('answer', { step: current.number, value: true, revision: run.revision })
          }
        },
      }),
    [run?.revision],
  )
  return (
    <Page trail={[{ text: t('page.checklists'), href: '/checklists' }, { text: t('run.number', { id }) }]}>
      <Show of={asked} missing={t('run.missing')}>
        {(one) => {
          const open = one.state === 'running' || one.state === 'stopped'
          const facts = [
            t(`run.state.${one.state}`),
            t('run.left', { n: one.steps_open, total: one.steps, count: one.steps_open, time: '' }),
            one.started_at === null ? '' : t('run.byAt', { name: one.started_by, time: moment(one.started_at) }),
            one.started_at === null ? '' : duration((one.finished_at ?? now) - one.started_at),
          ].filter(Boolean)
          return (
            <>
              <Verdict title={mine(one.title, one.title_uk)} lead={facts.join(' · ')}>
                {one.incident !== null && <a class="btn" href={incidentPath(one.incident)}>{t('incident.number', { id: one.incident })}</a>}
                {one.change !== null && <a class="btn" href={changePath(one.change)}>{t('change.number', { id: one.change })}</a>}
              </Verdict>
              {one.stopped_because && (
                <div class="band warn" role="alert">
                  <p>{t('run.stopped', { why: mine(one.stopped_because, one.stopped_because_uk) })}</p>
                  {mayOperate.value && one.state === 'stopped' && (
                    <form
                      class="step-form"
                      onSubmit={(e) => {
                        e.preventDefault()
                        void act('resume', { reason: reason.value.trim() })
                      }}
                    >
                      <input class="input" required placeholder={t('run.why')} aria-label={t('run.why')} value={reason.value} onInput={(e) => (reason.value = e.currentTarget.value)} />
                      <button class="btn">{t('run.resume')}</button>
                    </form>
                  )}
                </div>
              )}
              {one.intro && <p class="gap">{mine(one.intro, one.intro_uk)}</p>}
              <div class="incident-page facts-first">
                <section>
                  <RunSteps run={one} onRun={asked.set} />
                  {one.waits_for_signature && mayOperate.value && (
                    <div class="sign">
                      <p>{t('run.ready', { n: one.sign_off, done: one.signed_by.length, count: one.sign_off })}</p>
                      <button class="btn strong" onClick={() => void act('sign', {}, t('run.signed'))}>{t('run.sign')}</button>
                    </div>
                  )}
                  {one.signed_by.length > 0 && <p class="muted">{t('run.signedBy', { names: one.signed_by.join(', ') })}</p>}
                </section>
                <aside class="card act">
                  <h2>{t('incident.happened')}</h2>
                  <ol class="timeline">
                    {(one.events as unknown as Event[]).filter((e) => e.kind !== 'filled').slice(-30).map((e) => (
                      <li key={e.number}>
                        <time>{e.at === null ? '' : clock(e.at, true)}</time>
                        <i />
                        <p>{[t(`run.event.${e.kind}`, { n: e.step ?? 0 }), e.actor, e.text].filter(Boolean).join(' · ')}</p>
                      </li>
                    ))}
                  </ol>
                  {open && mayOperate.value && <button class="btn quiet" onClick={() => void act('abandon', { reason: reason.value.trim() || t('run.leftBy') })}>{t('run.abandon')}</button>}
                </aside>
              </div>
            </>
          )
        }}
      </Show>
    </Page>
  )
}
