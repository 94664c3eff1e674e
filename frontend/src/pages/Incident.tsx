/** One incident in five blocks: what, where, since when, why, what it looks like. Beside them: what
 * to do, and what happened. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { ApiError, get } from '../api/client'
import { subscribe } from '../api/live'
import type { Incident as Row, IncidentDetail, TimelineEntry } from '../api/types'
import { clock, duration, known, language, moment, t } from '../i18n'
import { mine } from '../parts/asked'
import { IncidentCharts } from '../parts/IncidentCharts'
import { Causes, Escalation, IncidentChecklists, MoreActs } from '../parts/IncidentMore'
import { UnusualThen } from '../parts/Unusual'
import { useNow } from '../parts/now'
import { matchersOf } from '../parts/matchers'
import { place } from '../parts/place'
import { expressions } from '../parts/rules'
import { SilenceForm } from '../parts/SilenceForm'
import { Dialog } from '../shell/Dialog'
import { bind } from '../shell/keys'
import { Mark } from '../shell/Mark'
import { complain, reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { hosts, loadHosts, standing, type KnownHost } from '../state/fleet'
import { act, incidents, loadIncidents, said, type Act } from '../state/incidents'
import { changePath, hostPath } from '../state/paths'
import { go } from '../state/route'
import { mayOperate } from '../state/session'
import '../styles/pages.css'

const EVERY_MS = 5000
const HOSTS_SHOWN = 24

export default function Incident({ what: id }: { what: string }): JSX.Element {
  const found = useSignal<IncidentDetail | null>(null)
  const trouble = useSignal<unknown>(null)
  const asking = useSignal<Act | null>(null)
  const silencing = useSignal(false)

  const load = async (): Promise<void> => {
    try {
      found.value = await get<IncidentDetail>(`/incidents/${encodeURIComponent(id)}`)
    } catch (error) {
      if (found.peek() === null) trouble.value = error
    }
  }
  useEffect(() => {
    if (hosts.peek() === null) void loadHosts().catch(() => undefined)
    void load()
    const stop = subscribe(
      { page: 'incidents' },
      {
        message(m) {
          if (m.type !== 'incidents' && m.type !== 'verdict') return
          incidents.value = m.incidents
          const now = m.incidents.find((i) => String(i.id) === id)
          const shown = found.peek()
          if (shown && changed(shown, now)) void load()
        },
      },
    )
    const timer = setInterval(() => {
      if (!document.hidden && found.peek()?.state !== 'resolved') void load()
    }, EVERY_MS)
    return () => {
      stop()
      clearInterval(timer)
    }
  }, [id])
  useEffect(
    () =>
      bind({
        t: () => {
          if (found.peek()?.state === 'open' && mayOperate.peek()) void run('acknowledge', '')
        },
        Escape: () => go('/incidents'),
      }),
    [id],
  )
  const run = async (what: Act, text: string): Promise<void> => {
    try {
      await act(id, what, text)
      tell(t(`incident.done.${what}`))
    } catch (error) {
      complain(error)
    }
    await Promise.allSettled([load(), loadIncidents()])
  }

  const incident = found.value
  useEffect(() => {
    document.title = `${incident ? said(incident, 'title') : t('page.incidents')} · ${t('brand')}`
  })
  const error = trouble.value
  return (
    <Page trail={[{ text: t('page.incidents'), href: '/incidents' }, { text: t('incident.number', { id }) }]}>
      {error !== null ? (
        <div class="empty">
          <h1>{error instanceof ApiError && error.status === 404 ? t('incident.missing') : t('incident.noData')}</h1>
          <p>{error instanceof ApiError && error.status === 404 ? <a class="link" href="/incidents">{t('incident.list')}</a> : reason(error)}</p>
        </div>
      ) : (
        incident && (
          <>
            <Head incident={incident} />
            <div class="incident-page">
              <Blocks incident={incident} />
              <aside class="card act">
                <Acts incident={incident} run={run} ask={(what) => (asking.value = what)} silence={() => (silencing.value = true)} />
                <Escalation incident={incident} />
                <MoreActs incident={incident} done={load} />
                <IncidentChecklists incident={incident} />
                <h2 class="spaced">{t('incident.happened')}</h2>
                <Timeline entries={incident.timeline} />
              </aside>
            </div>
          </>
        )
      )}
      {silencing.value && incident && (
        <SilenceForm matchers={matchersOf(incident.alerts)} onClose={() => (silencing.value = false)} onMade={() => void load()} />
      )}
      {asking.value && (
        <Ask
          what={asking.value}
          onClose={() => (asking.value = null)}
          onSend={(text) => {
            const what = asking.value!
            asking.value = null
            void run(what, text)
          }}
        />
      )}
    </Page>
  )
}

function changed(shown: Row, now: Row | undefined): boolean {
  if (!now) return shown.state !== 'resolved'
  return now.state !== shown.state || now.hosts.length !== shown.hosts.length || now.title !== shown.title || now.severity !== shown.severity
}

function Head({ incident }: { incident: Row }): JSX.Element {
  const now = useNow()
  const { began_at: began, resolved_at: over, acknowledged_at: taken } = incident
  const facts = [
    t(`severity.${incident.severity}`),
    incident.state === 'resolved'
      ? over !== null && began !== null && t('incident.lasted', { time: duration(over - began) })
      : began !== null && t('incident.lasts', { time: duration(now - began) }),
    incident.state === 'open'
      ? t('incident.nobody')
      : incident.acknowledged_by && t('incident.byAt', { name: incident.acknowledged_by, time: taken === null ? '' : moment(taken, now) }),
  ].filter(Boolean)
  return (
    <div class="verdict">
      <h1 class="with-mark">
        <Mark of={incident.state === 'resolved' ? 'normal' : incident.severity} size={20} />
        <span>{said(incident, 'title')}</span>
      </h1>
      <p>{facts.join(' · ')}</p>
    </div>
  )
}

function Blocks({ incident }: { incident: IncidentDetail }): JSX.Element {
  const list = standing.value
  return (
    <dl class="blocks">
      <div>
        <dt>{t('incident.what')}</dt>
        <dd>
          <p class="fact">{said(incident, 'summary') || said(incident, 'title')}</p>
        </dd>
      </div>
      <div>
        <dt>{t('incident.where')}</dt>
        <dd>
          <Where {...affected(incident)} ever={incident.hosts_count ?? incident.hosts.length} list={list} over={incident.state === 'resolved'} />
        </dd>
      </div>
      <div>
        <dt>{t('incident.sinceWhen')}</dt>
        <dd>
          <Times incident={incident} />
        </dd>
      </div>
      <Causes incident={incident} />
      <UnusualThen incident={incident} />
      <div>
        <dt>{t('incident.why')}</dt>
        <dd>
          <Why incident={incident} />
        </dd>
      </div>
      <div>
        <dt>{t('incident.looks')}</dt>
        <dd>
          <IncidentCharts incident={incident} hosts={list} />
        </dd>
      </div>
    </dl>
  )
}

/** Hosts on which something is wrong now; where nothing is any more, all that were hit. */
function affected(incident: IncidentDetail): { names: readonly string[]; count: number } {
  const now = new Set(incident.alerts.filter((a) => a.state !== 'resolved' && a.host).map((a) => a.host))
  if (now.size === 0 || incident.state === 'resolved') return { names: incident.hosts, count: incident.hosts_count ?? incident.hosts.length }
  return { names: [...now], count: now.size }
}

function Where({ names, count, ever, list, over }: { names: readonly string[]; count: number; ever: number; list: readonly KnownHost[]; over: boolean }): JSX.Element {
  if (names.length === 0) return <p class="fact">{t('incident.noHosts')}</p>
  const found = place(names, list)
  const share = { n: count, total: found.total, what: found.shared.join(' · '), count: found.total }
  return (
    <>
      {found.total > 1 && (
        <p class="fact">
          {found.shared.length > 0 ? t('incident.shareOf', share) : t('incident.share', share)}
          {!over && count === names.length && found.rest > 0 && ` ${found.restNormal === found.rest ? t('incident.restNormal', { n: found.rest }) : t('incident.restPart', { n: found.restNormal, total: found.rest, count: found.rest })}`}
        </p>
      )}
      <p class="host-links">
        {names.slice(0, HOSTS_SHOWN).map((name) => (
          <a key={name} class="link" href={hostPath(name)}>{name}</a>
        ))}
        {count > HOSTS_SHOWN && <span class="muted">{t('chart.more', { n: count - HOSTS_SHOWN })}</span>}
      </p>
      {ever > count && <p class="muted">{t('incident.ever', { n: ever })}</p>}
      {found.elsewhere.length > 0 && <p class="muted">{t('incident.notHere', { places: found.elsewhere.join(', ') })}</p>}
    </>
  )
}

function Times({ incident }: { incident: Row }): JSX.Element {
  const all: [string, number | null][] = [
    [t('incident.firstSign'), incident.began_at],
    [t('incident.opened'), incident.detected_at],
    [t('incident.takenAt'), incident.acknowledged_at],
    [t('incident.mitigatedAt'), incident.mitigated_at],
    [t('incident.resolvedAt'), incident.resolved_at],
  ]
  const times = all.filter((row): row is [string, number] => row[1] !== null)
  const dated = times.some(([, at]) => new Date(at * 1000).toDateString() !== new Date().toDateString())
  return (
    <ul class="times num">
      {times.map(([name, at]) => (
        <li key={name}>
          <p class="fact">{dated ? moment(at) : clock(at, true)}</p>
          <p class="muted">{name}</p>
        </li>
      ))}
    </ul>
  )
}

const ALERTS_SHOWN = 8

function Why({ incident }: { incident: IncidentDetail }): JSX.Element {
  const exprs = useSignal<Map<string, string>>(new Map())
  const ids = incident.alerts.map((a) => a.name).join()
  useEffect(() => {
    void expressions(incident).then((found) => (exprs.value = found))
  }, [ids])
  if (incident.alerts.length === 0) return <p class="muted">{t('incident.noAlerts')}</p>
  const names = [...new Set(incident.alerts.map((a) => a.name))]
  return (
    <ul class="alerts">
      {names.slice(0, ALERTS_SHOWN).map((name) => {
        const same = incident.alerts.filter((a) => a.name === name)
        const open = same.filter((a) => a.state !== 'resolved').length
        const notes = same[0].annotations ?? {}
        const say = notes[`description_${language()}`] || notes[`summary_${language()}`] || notes.description || notes.summary
        const over = open === 0 ? t('alert.resolved') : open < same.length ? t('alert.part', { n: open, total: same.length, count: same.length }) : ''
        return (
          <li key={name}>
            <p>
              <b>{name}</b>
              {same.length > 1 && <span class="muted"> · {t('incident.hosts', { n: new Set(same.map((a) => a.host)).size })}</span>}
              {over && <span class="muted"> · {over}</span>}
            </p>
            {say && say !== said(incident, 'summary') && <p class="muted">{say}</p>}
            {exprs.value.has(name) && <p class="expr"><code>{exprs.value.get(name)}</code></p>}
          </li>
        )
      })}
      {names.length > ALERTS_SHOWN && <li class="muted">{t('chart.more', { n: names.length - ALERTS_SHOWN })}</li>}
    </ul>
  )
}

interface ActsProps {
  incident: IncidentDetail
  run: (what: Act, text: string) => Promise<void>
  ask: (what: Act) => void
  silence: () => void
}

function Acts({ incident, run, ask, silence }: ActsProps): JSX.Element {
  const open = incident.state === 'open'
  const over = incident.state === 'resolved'
  const next = said(incident, 'next')
  return (
    <>
      <h2>{over ? t('incident.over') : t('incident.doNext')}</h2>
      {!over && next && <p class="fact">{next}</p>}
      {mayOperate.value ? (
        <div class="act-row">
          {open && (
            <button class="btn strong" onClick={() => void run('acknowledge', '')}>
              {t('incident.take')} <span class="key">T</span>
            </button>
          )}
          {!over && (
            <button class={`btn ${open ? '' : 'strong'}`} onClick={() => ask('resolve')}>
              {t('incident.resolve')}
            </button>
          )}
          {!over && incident.cause && <a class="btn" href={changePath(incident.cause.change)}>{t('incident.toChange')}</a>}
          <button class="btn" onClick={() => ask('note')}>{t('incident.note')}</button>
          {!over && incident.alerts.length > 0 && <button class="btn" onClick={silence}>{t('silence.offer')}</button>}
        </div>
      ) : (
        <p class="muted">{t('incident.viewer')}</p>
      )}
    </>
  )
}

function Timeline({ entries }: { entries: readonly TimelineEntry[] }): JSX.Element {
  let day = ''
  return (
    <ol class="timeline">
      {entries.map((entry, i) => {
        const date = entry.at === null ? '' : new Date(entry.at * 1000).toDateString()
        const fresh = date !== day && date !== new Date().toDateString()
        day = date
        return (
          <li key={i} data-kind={entry.kind}>
            <time>{entry.at === null ? '' : clock(entry.at, true)}</time>
            <i />
            <p>
              {fresh && entry.at !== null && <span class="muted">{moment(entry.at)} · </span>}
              {sentence(entry)}
            </p>
          </li>
        )
      })}
    </ol>
  )
}

/** The name under which the server acts by itself. */
const ITSELF = 'vezha'

/** What the server writes where an incident ended since nothing came any more. */
const NO_DATA = 'no data came back'

/** The timeline's codes in the reader's words; a code that we do not know yet speaks for itself. */
function sentence(entry: TimelineEntry): string {
  const itself = !entry.actor || entry.actor === ITSELF
  const key = `event.${entry.kind}${itself && known(`event.${entry.kind}.itself`) ? '.itself' : ''}`
  const name = itself ? t('event.nobody') : (entry.actor ?? '')
  if (!known(key)) return [entry.text || entry.kind, itself ? '' : entry.actor].filter(Boolean).join(' · ')
  const words = t(key, { name })
  if (!entry.text) return words
  const uk = entry.data?.text_uk
  return `${words}: ${entry.text === NO_DATA ? t('event.noData') : mine(entry.text, typeof uk === 'string' ? uk : undefined)}`
}

function Ask({ what, onSend, onClose }: { what: Act; onSend: (text: string) => void; onClose: () => void }): JSX.Element {
  const text = useSignal('')
  const must = what === 'note'
  return (
    <Dialog label={t(`incident.${what === 'note' ? 'note' : 'resolve'}`)} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          onSend(text.value.trim())
        }}
      >
        <h3>{must ? t('incident.note') : t('incident.resolveTitle')}</h3>
        {!must && <p class="muted">{t('incident.resolveWhat')}</p>}
        <label class="field">
          <span>{must ? t('incident.noteText') : t('incident.noteMaybe')}</span>
          <textarea class="input" rows={4} autoFocus required={must} maxLength={4000} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
        </label>
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong">{must ? t('save') : t('incident.resolve')}</button>
        </div>
      </form>
    </Dialog>
  )
}
