/** One change: is it safe to go on? A state sentence, waves, gates with what they measured, hosts, and
 * acts that say beforehand what they will do. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, post } from '../api/client'
import type { AttemptDetailView, AttemptsView, CausesView, ChangeDetailView, RolloutDetailView, VerdictDetailView, VerdictView, WaveView } from '../api/schema'
import { clock, duration, known, moment, number, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { BeforeStart } from '../parts/BeforeStart'
import { useNow } from '../parts/now'
import { shares, WaveBar } from '../parts/WaveBar'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { bind } from '../shell/keys'
import { Mark } from '../shell/Mark'
import { complain, reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { hostPath, incidentPath } from '../state/paths'
import { mayAdminister, mayOperate } from '../state/session'
import '../styles/pages.css'
import '../styles/change.css'
import '../styles/host.css'

const EVERY_MS = 2000
const HOSTS_SHOWN = 400
const TOUCHED = ['offered', 'downloaded', 'staged', 'started', 'proven', 'failed', 'reverting']

type Steer = 'pause' | 'resume' | 'revert' | 'abort' | 'break-glass'

export default function Change({ what: id }: { what: string }): JSX.Element {
  const path = `/changes/${encodeURIComponent(id)}`
  const asked = useAsked<ChangeDetailView>(path, EVERY_MS * 2)
  const change = asked.data
  const newest = change?.rollouts[change.rollouts.length - 1]
  useTitle(change ? change.title || change.target : t('page.changes'))
  return (
    <Page trail={[{ text: t('page.changes'), href: '/changes' }, { text: t('change.number', { id }) }]}>
      <Show of={asked} missing={t('change.missing')}>
        {(one) => (
          <>
            <Verdict title={one.title || one.target} lead={facts(one)} />
            {newest ? <Rollout key={newest.id} id={newest.id} change={one} /> : <BeforeStart change={one} reload={asked.load} />}
            <About change={one} />
          </>
        )}
      </Show>
    </Page>
  )
}

function facts(one: ChangeDetailView): string {
  return [
    t('change.number', { id: one.id }),
    t(`change.kind.${one.kind}`),
    one.owner && t('change.by', { name: one.owner }),
    one.hosts_count > 0 ? t('incident.hosts', { n: one.hosts_count }) : one.selector,
    one.began_at !== null ? t('change.began', { time: moment(one.began_at) }) : '',
    one.kind === 'external' && one.outcome ? t(`change.outcome.${one.outcome}`) : '',
    one.source,
  ].filter(Boolean).join(' · ')
}

function Rollout({ id, change }: { id: number; change: ChangeDetailView }): JSX.Element {
  const asked = useAsked<RolloutDetailView>(`/rollouts/${id}`, EVERY_MS)
  const asking = useSignal<Steer | null>(null)
  const chosen = useSignal<number | null>(null)
  const now = useNow()
  useEffect(
    () =>
      bind({
        R: () => {
          if (mayOperate.peek() && asked.data && ['running', 'held', 'done'].includes(asked.data.state)) asking.value = 'revert'
        },
      }),
    [asked.data?.state],
  )
  return (
    <Show of={asked}>
      {(one) => {
        const wave = chosen.value ?? Math.min(one.wave, one.waves.length - 1)
        const open = one.state === 'running' || one.state === 'held'
        const bad = one.state === 'held' || one.state === 'reverting' || one.state === 'reverted'
        return (
          <>
            <div class={`band ${bad ? 'warn' : ''}`} role="status">
              <Mark of={bad ? 'warning' : 'normal'} size={16} />
              <p>
                <b>{t(`rollout.said.${one.state}`, { wave: one.waves[Math.min(one.wave, one.waves.length - 1)]?.name ?? '' })}</b>{' '}
                {because(one)}
              </p>
              {one.phase_since !== null && open && (
                <span class="muted num">{one.state === 'held' ? t('rollout.heldFor', { time: duration(now - one.phase_since) }) : [t(`rollout.phase.${one.phase}`), duration(now - one.phase_since)].join(' · ')}</span>
              )}
              {one.break_glass_until !== null && one.break_glass_until > now && <p class="warning-text">{t('rollout.glass', { name: one.break_glass_by, time: clock(one.break_glass_until), why: one.break_glass_why })}</p>}
            </div>
            <div class="waves-row">
              {one.waves.map((w, i) => (
                <Wave key={w.name} wave={w} at={i} one={one} pressed={i === wave} choose={() => (chosen.value = i === chosen.value ? null : i)} />
              ))}
            </div>
            <div class="incident-page facts-first">
              <section>
                <Gates one={one} wave={wave} />
                {mayOperate.value && (
                  <div class="act-row">
                    {(open || one.state === 'done') && (
                      <button class={`btn ${one.state === 'held' ? 'strong' : ''}`} onClick={() => (asking.value = 'revert')}>
                        {t('steer.revert')} <span class="key">R</span>
                      </button>
                    )}
                    {one.state === 'running' && <button class="btn" onClick={() => (asking.value = 'pause')}>{t('steer.pause')}</button>}
                    {one.state === 'held' && <button class="btn" onClick={() => (asking.value = 'resume')}>{t('steer.resume')}</button>}
                    {open && <button class="btn quiet" onClick={() => (asking.value = 'abort')}>{t('steer.abort')}</button>}
                    {open && mayAdminister.value && <button class="btn quiet" onClick={() => (asking.value = 'break-glass')}>{t('steer.break-glass')}</button>}
                    {open && <Approve change={change} one={one} />}
                  </div>
                )}
                {mayOperate.value && open && touched(one) > 0 && <p class="muted">{t('change.backMeans', { n: touched(one) })}</p>}
                <Hosts rollout={id} wave={wave} key={wave} />
              </section>
              <aside class="card act">
                <h2>{t('change.decisions')}</h2>
                <Timeline change={change} />
                <Blamed id={change.id} />
              </aside>
            </div>
            {asking.value && (
              <Confirm
                what={asking.value}
                one={one}
                onClose={() => (asking.value = null)}
                onDone={(next) => {
                  asking.value = null
                  asked.set(next)
                }}
              />
            )}
          </>
        )
      }}
    </Show>
  )
}

function Wave({ wave, at, one, pressed, choose }: { wave: WaveView; at: number; one: RolloutDetailView; pressed: boolean; choose: () => void }): JSX.Element {
  const parts = new Map(shares(wave.counts))
  const passed = at < one.wave || one.state === 'done'
  const held = wave.is_active && one.state === 'held'
  const words = [...parts].map(([name, n]) => `${t(`wave.${name}`)} ${number(n)}`).join(' · ')
  return (
    <button class={`wave ${held ? 'held' : ''}`} aria-pressed={pressed} onClick={choose} ref={(el) => el?.style.setProperty('flex-grow', String(1 + Math.log10(1 + wave.hosts_count)))}>
      <WaveBar counts={wave.counts} wide />
      <h3>
        {held ? <Mark of="warning" size={14} /> : passed ? <Icon name="check" size={14} /> : <Mark of={wave.is_active ? 'normal' : 'unknown'} size={14} />}
        {wave.name}
      </h3>
      <p>{t('incident.hosts', { n: wave.hosts_count })}</p>
      <p class="muted num">{words}</p>
      {wave.bake_s > 0 && <p class="muted num">{t('wave.bake', { time: duration(wave.bake_s) })}</p>}
    </button>
  )
}

function Gates({ one, wave }: { one: RolloutDetailView; wave: number }): JSX.Element {
  const list = one.verdicts.filter((v) => v.wave === wave)
  const open = useSignal(0)
  return (
    <>
      <h2>{t('gates.title', { wave: one.waves[wave]?.name ?? '' })}</h2>
      {list.length === 0 && <p class="muted gap">{one.gates.length === 0 ? t('gates.none') : t('gates.notYet')}</p>}
      <div class="list">
        {list.map((v) => (
          <div class={`gate ${v.result}`} key={v.id}>
            {v.result === 'pass' ? <Icon name="check" size={14} /> : <Mark of={v.result === 'fail' ? 'warning' : 'unknown'} size={14} />}
            <button aria-expanded={open.value === v.id} onClick={() => (open.value = open.value === v.id ? 0 : v.id)}>
              {v.gate}
              {v.shadow && <span class="muted"> · {t('gates.shadow')}</span>}
            </button>
            <b class="num">{v.measured === null ? '—' : number(v.measured, 3)}</b>
            <span class="muted num">{gateWords(v, one)}</span>
            {open.value === v.id && <Samples verdict={v} />}
          </div>
        ))}
      </div>
    </>
  )
}

/** The failed gate of the wave that is held, in the reader's words; else what the server says. */
function because(one: RolloutDetailView): string {
  const failed = one.state === 'held' && one.reason_code.startsWith('gate') ? one.verdicts.find((v) => v.wave === one.wave && v.result === 'fail' && !v.shadow && v.measured !== null) : undefined
  return failed ? t('rollout.gateFails', { gate: failed.gate, measured: number(failed.measured!, 3), rule: gateWords(failed, one) }) : mine(one.reason, one.reason_uk)
}

/** What a gate allows, and where it is not so. */
function gateWords(v: VerdictView, one: RolloutDetailView): string {
  const spec = one.gates.find((g) => (g.name || g.kind) === v.gate)
  if (spec?.kind === 'promql' && v.allowed !== null) {
    const where = v.result === 'fail' ? / for (\S+)$/.exec(v.sentence)?.[1] : undefined
    return [t('gates.rule', { op: String(spec.op ?? '<'), value: number(v.allowed, 3) }), where].filter(Boolean).join(' · ')
  }
  return [v.allowed === null ? '' : t('gates.allowed', { value: number(v.allowed, 3) }), mine(v.sentence, v.sentence_uk)].filter(Boolean).join(' · ')
}

/** How many hosts have it or are about to. */
const touched = (one: RolloutDetailView): number => TOUCHED.reduce((n, s) => n + (one.counts[s] ?? 0), 0)

/** What a verdict was made of, and whether judging it again says the same. */
function Samples({ verdict }: { verdict: VerdictView }): JSX.Element {
  const asked = useAsked<VerdictDetailView>(`/verdicts/${verdict.id}?recompute=true`)
  return (
    <div class="gate-samples">
      <Show of={asked}>
        {(v) => (
          <>
            <p class="muted">{[v.at === null ? '' : moment(v.at), v.agrees === null ? '' : v.agrees ? t('gates.agrees') : t('gates.differs')].filter(Boolean).join(' · ')}</p>
            {typeof v.spec.query === 'string' && <p class="expr"><code>{v.spec.query}</code></p>}
            <pre class="plan-text mono">{JSON.stringify(v.samples, null, 1)}</pre>
          </>
        )}
      </Show>
    </div>
  )
}

function Hosts({ rollout, wave }: { rollout: number; wave: number }): JSX.Element {
  const asked = useAsked<AttemptsView>(`/rollouts/${rollout}/attempts?wave=${wave}&limit=${HOSTS_SHOWN}`, EVERY_MS)
  const history = useSignal<AttemptDetailView | null>(null)
  const show = (host: string): void => {
    get<AttemptDetailView>(`/rollouts/${rollout}/attempts/${encodeURIComponent(host)}`).then((found) => (history.value = found), complain)
  }
  return (
    <Show of={asked}>
      {({ attempts }) => {
        const bad = attempts.filter((a) => ['failed', 'reverted', 'refused'].includes(a.state))
        const rest = attempts.filter((a) => !bad.includes(a))
        const from = attempts.some((a) => a.from_version)
        const why = attempts.some((a) => a.reason || a.detail)
        return (
          <>
            <h2 class="spaced">{t('change.hosts')}</h2>
            {bad.length > 0 && <p class="fact">{t('change.failedOn', { n: bad.length, total: attempts.length, count: bad.length, names: bad.slice(0, 5).map((a) => a.host).join(', ') })}</p>}
            <div class="scroll-x" tabIndex={0} role="region" aria-label={t('change.hosts')}>
              <table class="audit num">
                <thead>
                  <tr>
                    <th scope="col">{t('table.host')}</th>
                    <th scope="col">{t('table.state')}</th>
                    {from && <th scope="col">{t('change.from')}</th>}
                    {why && <th scope="col">{t('change.why')}</th>}
                    <th scope="col">{t('change.since')}</th>
                    <th scope="col"><span class="hidden">{t('change.history')}</span></th>
                  </tr>
                </thead>
                <tbody>
                  {[...bad, ...rest].map((a) => (
                    <tr key={a.host} class={bad.includes(a) ? 'odd' : ''}>
                      <td><a class="link" href={hostPath(a.host)}>{a.host}</a></td>
                      <td class={bad.includes(a) ? 'warning-text' : ''}>{t(`attempt.${a.state}`)}</td>
                      {from && <td>{a.from_version}</td>}
                      {why && <td class="wrap">{[a.reason && (known(`attempt.reason.${a.reason}`) ? t(`attempt.reason.${a.reason}`) : a.reason), a.detail].filter(Boolean).join(': ')}</td>}
                      <td class="muted">{a.since === null ? '' : clock(a.since, true)}</td>
                      <td><button class="btn quiet tiny" onClick={() => show(a.host)}>{t('change.history')}</button></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {history.value && (
              <Dialog label={history.value.host} onClose={() => (history.value = null)}>
                <h3>{history.value.host}</h3>
                <ol class="timeline">
                  {history.value.history.map((s, i) => (
                    <li key={i}>
                      <time>{s.at === null ? '' : clock(s.at, true)}</time>
                      <i />
                      <p>{[t(`attempt.${s.to_state}`), s.reason, s.detail].filter(Boolean).join(' · ')}</p>
                    </li>
                  ))}
                </ol>
                <div class="dialog-foot">
                  <button class="btn strong" onClick={() => (history.value = null)}>{t('close')}</button>
                </div>
              </Dialog>
            )}
          </>
        )
      }}
    </Show>
  )
}

/** Says what the act will do, to how many hosts, in which order, how long about, what is lost. */
function Confirm({ what, one, onClose, onDone }: { what: Steer; one: RolloutDetailView; onClose: () => void; onDone: (next: RolloutDetailView) => void }): JSX.Element {
  const why = useSignal('')
  const wrong = useSignal('')
  const failed = one.verdicts.filter((v) => v.wave === one.wave && v.result === 'fail' && !v.shadow)
  const rest = one.counts.waiting ?? 0
  // Going on against a gate that failed needs a reason, which the audit keeps.
  const must = what === 'break-glass' || (what === 'resume' && failed.length > 0) || what === 'abort'
  const hosts = what === 'revert' || what === 'abort' ? touched(one) : what === 'resume' ? rest : one.hosts_count
  return (
    <Dialog label={t(`steer.${what}`)} onClose={onClose} kind="confirm">
      <form
        onSubmit={(e) => {
          e.preventDefault()
          post<RolloutDetailView>(`/rollouts/${one.id}/${what}`, what === 'break-glass' ? { why: why.value.trim(), minutes: 60 } : { why: why.value.trim() }).then(
            (next) => {
              tell(t(`steer.did.${what}`))
              onDone(next)
            },
            (error: unknown) => (wrong.value = reason(error)),
          )
        }}
      >
        <h3>{t(`steer.${what}`)}</h3>
        <p>{t(`steer.what.${what}`)}</p>
        <dl>
          <dt>{t('steer.hosts')}</dt>
          <dd>{t('incident.hosts', { n: hosts })}</dd>
          <dt>{t('steer.order')}</dt>
          <dd>{t(`steer.orderOf.${what}`)}</dd>
          <dt>{t('steer.time')}</dt>
          <dd>{t(`steer.timeOf.${what}`)}</dd>
          <dt>{t('steer.loss')}</dt>
          <dd>{t(`steer.lossOf.${what}`)}</dd>
        </dl>
        {what === 'resume' && failed.length > 0 && <p class="warning-text">{t('steer.against', { names: failed.map((v) => v.gate).join(', ') })}</p>}
        <label class="field">
          <span>{must ? t('steer.whyMust') : t('steer.why')}</span>
          <input class="input" autoFocus required={must} maxLength={1000} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />
        </label>
        {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class={`btn ${what === 'abort' || what === 'break-glass' ? 'danger' : 'strong'}`}>{t(`steer.${what}`)}</button>
        </div>
      </form>
    </Dialog>
  )
}

function Approve({ change, one }: { change: ChangeDetailView; one: RolloutDetailView }): JSX.Element | null {
  // The server says in its reason that a wave waits for a person's yes.
  if (one.reason_code !== 'approval' && !/approv/.test(one.reason_code)) return null
  const wave = one.waves[one.wave]?.name ?? ''
  const say = (answer: string): void => {
    post(`/changes/${change.id}/answer`, { answer, wave }).then(() => tell(t('answer.said')), complain)
  }
  return (
    <>
      <button class="btn strong" onClick={() => say('approved')}>{t('answer.approve', { wave })}</button>
      <button class="btn" onClick={() => say('rejected')}>{t('answer.reject')}</button>
    </>
  )
}

function About({ change }: { change: ChangeDetailView }): JSX.Element {
  const rows: [string, string][] = [
    [t('change.target'), change.target],
    [t('change.whyMade'), change.why],
    [t('change.selector'), change.selector],
    [t('change.risk'), change.risk && t(`risk.${change.risk}`)],
    [t('page.checklists'), change.checklist],
    ['SHA-256', change.sha256],
    ...Object.entries(change.labels),
  ]
  const shown = rows.filter(([, v]) => v)
  return (
    <section class="about-change">
      <h2 class="spaced">{t('change.about')}</h2>
      <dl class="facts">
        {shown.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {change.links.map((link) => (
        <p key={link}>
          <a class="link" href={link} target="_blank" rel="noopener noreferrer">{link}</a>
        </p>
      ))}
      {change.kind === 'external' && <Timeline change={change} />}
      {change.rollouts.length === 0 && <Blamed id={change.id} />}
    </section>
  )
}

function Timeline({ change }: { change: ChangeDetailView }): JSX.Element {
  return (
    <ol class="timeline">
      {change.timeline.slice(-60).map((e, i) => (
        <li key={i} data-kind={e.kind}>
          <time>{e.at === null ? '' : clock(e.at, true)}</time>
          <i />
          <p>{[known(`change.event.${e.kind}`) ? t(`change.event.${e.kind}`, { text: mine(e.text, e.text_uk) }) : mine(e.text, e.text_uk) || e.kind, e.actor === 'vezha' ? '' : e.actor].filter(Boolean).join(' · ')}</p>
        </li>
      ))}
    </ol>
  )
}

function Blamed({ id }: { id: number }): JSX.Element | null {
  const asked = useAsked<CausesView>(`/changes/${id}/incidents`)
  const list = asked.data?.causes ?? []
  if (list.length === 0) return null
  return (
    <>
      <h2 class="spaced">{t('change.incidents')}</h2>
      <ul>
        {list.map((c) => (
          <li key={c.incident}>
            <a class="link" href={incidentPath(c.incident)}>{c.incident_title}</a> <span class="muted num">{t('cause.score', { n: Math.round(c.score * 100) })}</span>
          </li>
        ))}
      </ul>
    </>
  )
}
