/** Who is on call, who comes next, what is not covered; and what would be handed over now. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post } from '../api/client'
import type { HandoverItemView, HandoverView, NowView, OnCallView, PoliciesView, SchedulesView, ShiftsView, TeamsView } from '../api/schema'
import { clock, day, duration, language, moment, t } from '../i18n'
import { Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { localTime } from '../parts/localtime'
import { useNow } from '../parts/now'
import { Sections } from '../parts/Sections'
import { Dialog } from '../shell/Dialog'
import { Mark } from '../shell/Mark'
import { reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { incidentPath } from '../state/paths'
import { mayOperate, user } from '../state/session'
import '../styles/pages.css'
import '../styles/oncall.css'

const EVERY_MS = 15_000
const DAYS_SHOWN = 14

export default function OnCall({ what }: { what: string }): JSX.Element {
  useTitle(t('page.oncall'))
  const [section, name = ''] = what.split('/')
  return (
    <Page trail={[{ text: t('page.oncall'), href: '/oncall' }, ...(section ? [{ text: t(`oncall.${section}`) }] : [])]}>
      <Sections
        here={section}
        list={[
          { id: '', text: t('oncall.now'), href: '/oncall' },
          { id: 'handover', text: t('oncall.handover'), href: '/oncall/handover' },
          { id: 'policies', text: t('oncall.policies'), href: '/oncall/policies' },
        ]}
      />
      {section === 'handover' ? <Handovers name={name} /> : section === 'policies' ? <Policies /> : <Now />}
    </Page>
  )
}

function Now(): JSX.Element {
  const asked = useAsked<OnCallView>('/oncall', EVERY_MS)
  const standing = useSignal<string | null>(null)
  const now = useNow()
  return (
    <Show of={asked}>
      {({ schedules }) => {
        const me = user.value?.name
        const mine = schedules.filter((s) => s.now.person === me)
        const nobody = schedules.filter((s) => s.now.person === '')
        const title =
          schedules.length === 0
            ? t('oncall.none')
            : nobody.length > 0
              ? t('oncall.nobody', { name: nobody[0].title || nobody[0].schedule })
              : mine.length > 0
                ? t('oncall.you', { time: moment(mine[0].now.ends_at, now) })
                : t('oncall.is', { name: schedules[0].now.person, time: moment(schedules[0].now.ends_at, now) })
        return (
          <>
            <Verdict title={title} lead={schedules.length === 0 ? t('oncall.noneLead') : t('oncall.lead')} mark={nobody.length > 0 ? <Mark of="warning" size={20} /> : undefined} />
            {schedules.map((s) => (
              <Schedule key={s.schedule} one={s} standIn={() => (standing.value = s.schedule)} />
            ))}
            {standing.value !== null && <StandIn schedule={standing.value} onClose={() => (standing.value = null)} onMade={() => void asked.load()} />}
          </>
        )
      }}
    </Show>
  )
}

function Schedule({ one, standIn }: { one: NowView; standIn: () => void }): JSX.Element {
  const now = useNow()
  const shifts = useAsked<ShiftsView>(`/oncall/schedules/${encodeURIComponent(one.schedule)}/shifts`, 60_000)
  const gaps = one.gaps.filter((g) => g.ends_at - g.starts_at > 0)
  return (
    <section class="block">
      <div class="with-act">
        <div>
          <h2>{one.title || one.schedule}</h2>
          <p class="fact">
            {one.now.person || t('oncall.nobodyShort')}
            <span class="light"> {t('oncall.until', { time: moment(one.now.ends_at, now), left: duration(one.now.ends_at - now) })}</span>
          </p>
          <p class="muted">
            {[
              one.next ? t('oncall.next', { name: one.next.person || t('oncall.nobodyShort'), time: moment(one.next.starts_at, now) }) : t('oncall.noNext'),
              one.time_zone,
              one.now.person !== '' && !one.reachable ? t('oncall.unreachable') : '',
            ].filter(Boolean).join(' · ')}
          </p>
        </div>
        <div class="act-row flush">
          <a class="btn" href={`/oncall/handover/${encodeURIComponent(one.schedule)}`}>{t('oncall.handover')}</a>
          {mayOperate.value && <button class="btn" onClick={standIn}>{t('oncall.standIn')}</button>}
        </div>
      </div>
      {shifts.data && <Rota shifts={shifts.data.shifts} />}
      {gaps.length > 0 && <p class="warning-text">{t('oncall.gaps', { n: gaps.length, first: moment(gaps[0].starts_at), count: gaps.length })}</p>}
    </section>
  )
}

/** Two weeks as a strip of days: whose each hour is. */
function Rota({ shifts }: { shifts: ShiftsView['shifts'] }): JSX.Element {
  const begin = new Date()
  begin.setHours(0, 0, 0, 0)
  const from = begin.getTime() / 1000
  const people = [...new Set(shifts.map((s) => s.person).filter(Boolean))]
  const days = Array.from({ length: DAYS_SHOWN }, (_, i) => from + i * 86_400)
  return (
    <ol class="rota" aria-label={t('oncall.weeks')}>
      {days.map((at) => {
        const parts = shifts.filter((s) => s.ends_at > at && s.starts_at < at + 86_400)
        return (
          <li key={at}>
            <span class="muted num">{day(at + 43_200)}</span>
            {parts.map((s) => (
              <span
                key={s.starts_at}
                class={`shift ${s.person === '' ? 'gap' : `p${people.indexOf(s.person) % 4}`} ${s.source.startsWith('override') ? 'stands-in' : ''}`}
                title={`${clock(Math.max(s.starts_at, at))}–${clock(Math.min(s.ends_at, at + 86_400))} ${s.person || t('oncall.nobodyShort')}`}
                ref={(el) => el?.style.setProperty('flex-grow', String(Math.min(s.ends_at, at + 86_400) - Math.max(s.starts_at, at)))}
              >
                {s.person || t('oncall.nobodyShort')}
              </span>
            ))}
          </li>
        )
      })}
    </ol>
  )
}

function StandIn({ schedule, onClose, onMade }: { schedule: string; onClose: () => void; onMade: () => void }): JSX.Element {
  const person = useSignal(user.value?.name ?? '')
  const from = useSignal(localTime(Date.now() / 1000))
  const to = useSignal(localTime(Date.now() / 1000 + 8 * 3600))
  const why = useSignal('')
  const wrong = useSignal('')
  return (
    <Dialog label={t('oncall.standIn')} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          post(`/oncall/schedules/${encodeURIComponent(schedule)}/overrides`, { person: person.value.trim(), starts_at: Date.parse(from.value) / 1000, ends_at: Date.parse(to.value) / 1000, comment: why.value.trim() }).then(
            () => {
              tell(t('oncall.standsIn', { name: person.value.trim() }))
              onMade()
              onClose()
            },
            (error: unknown) => (wrong.value = reason(error)),
          )
        }}
      >
        <h3>{t('oncall.standIn')}</h3>
        <label class="field">
          <span>{t('oncall.who')}</span>
          <input class="input" required autoFocus value={person.value} onInput={(e) => (person.value = e.currentTarget.value)} />
        </label>
        <div class="two-fields">
          <label class="field">
            <span>{t('range.from')}</span>
            <input class="input" type="datetime-local" required value={from.value} onInput={(e) => (from.value = e.currentTarget.value)} />
          </label>
          <label class="field">
            <span>{t('range.to')}</span>
            <input class="input" type="datetime-local" required value={to.value} onInput={(e) => (to.value = e.currentTarget.value)} />
          </label>
        </div>
        <label class="field">
          <span>{t('run.why')}</span>
          <input class="input" maxLength={4000} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />
        </label>
        {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong">{t('save')}</button>
        </div>
      </form>
    </Dialog>
  )
}

function Handovers({ name }: { name: string }): JSX.Element {
  const all = useAsked<SchedulesView>('/oncall/schedules')
  const chosen = name || all.data?.schedules[0]?.name || ''
  return (
    <Show of={all}>
      {({ schedules }) =>
        schedules.length === 0 ? (
          <Verdict title={t('oncall.none')} lead={t('oncall.noneLead')} />
        ) : (
          <>
            {schedules.length > 1 && (
              <div class="seg" role="group" aria-label={t('page.oncall')}>
                {schedules.map((s) => (
                  <a key={s.name} class="btn quiet" aria-current={s.name === chosen ? 'true' : undefined} href={`/oncall/handover/${encodeURIComponent(s.name)}`}>{s.title || s.name}</a>
                ))}
              </div>
            )}
            {chosen && <Handover key={chosen} schedule={chosen} />}
          </>
        )
      }
    </Show>
  )
}

const LISTS = ['look_at', 'open', 'silenced', 'changed', 'fragile'] as const

function Handover({ schedule }: { schedule: string }): JSX.Element {
  const asked = useAsked<HandoverView>(`/oncall/schedules/${encodeURIComponent(schedule)}/handover?language=${language()}`, EVERY_MS)
  return (
    <Show of={asked}>
      {(page) => (
        <>
          <Verdict
            title={page.look_at.length > 0 ? t('handover.look', { n: page.look_at.length }) : t('handover.calm')}
            lead={[t('handover.from', { from: page.from_person || '—', to: page.to_person || '—' }), page.since_at === null ? '' : t('handover.since', { time: moment(page.since_at) }), t('handover.resolved', { n: page.resolved_count })].filter(Boolean).join(' · ')}
          >
            <a class="btn" href="/scenario/hand-over">{t('handover.walk')}</a>
          </Verdict>
          {LISTS.map((list) => page[list].length > 0 && <Items key={list} title={t(`handover.${list}`)} items={page[list]} />)}
        </>
      )}
    </Show>
  )
}

function Items({ title, items }: { title: string; items: readonly HandoverItemView[] }): JSX.Element {
  return (
    <section class="block">
      <h2>{title}</h2>
      <ul class="list">
        {items.map((item, i) => (
          <li class="item" key={i}>
            {(item.severity === 'critical' || item.severity === 'warning') && <Mark of={item.severity} size={14} />}
            <div class="item-main">
              <p>{item.kind === 'incident' && item.id > 0 ? <a class="stretch" href={incidentPath(item.id)}>{item.title}</a> : <b>{item.title}</b>}</p>
              <p class="muted num">{[item.state, item.by, item.since_at === null ? '' : moment(item.since_at), item.until_at === null ? '' : t('silence.until', { time: moment(item.until_at) }), item.next].filter(Boolean).join(' · ')}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Policies(): JSX.Element {
  const policies = useAsked<PoliciesView>('/oncall/policies')
  const teams = useAsked<TeamsView>('/teams')
  return (
    <Show of={policies}>
      {({ policies: list }) => (
        <>
          <Verdict title={list.length === 0 ? t('policies.none') : t('policies.title', { n: list.length })} lead={t('policies.lead')} />
          {list.map((p) => (
            <section class="block" key={p.name}>
              <h2>{p.name}</h2>
              <ol class="steps">
                {p.steps.map((s, i) => (
                  <li class="step" key={i}>
                    <span class="step-mark num">{i + 1}</span>
                    <div>
                      <p class="step-text">{s.targets.join(', ')}</p>
                      <p class="muted num">{t('policies.wait', { time: duration(s.wait_s ?? 0) })}</p>
                    </div>
                  </li>
                ))}
              </ol>
              <p class="muted">{[(p.repeat ?? 0) > 0 ? t('policies.repeat', { n: p.repeat ?? 0 }) : '', t('policies.from', { severity: t(`severity.${p.severity ?? 'warning'}`) })].filter(Boolean).join(' · ')}</p>
            </section>
          ))}
          {(teams.data?.teams.length ?? 0) > 0 && (
            <section class="block">
              <h2>{t('teams.title')}</h2>
              <ul class="list">
                {teams.data!.teams.map((team) => (
                  <li class="item" key={team.name}>
                    <div class="item-main">
                      <p>
                        <b>{team.title || team.name}</b> <span class="muted">{team.policy}</span>
                      </p>
                      <p class="matchers">{(team.match ?? []).map((m) => <code key={m}>{m}</code>)}</p>
                      <p class="muted">{(team.members ?? []).join(', ')}</p>
                    </div>
                  </li>
                ))}
              </ul>
            </section>
          )}
        </>
      )}
    </Show>
  )
}
