/** Who is on call, who comes next, what is not covered; and what would be handed over now. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { remove } from '../api/client'
import type { HandoverItemView, HandoverView, NowView, OnCallView, SchedulesView, ShiftsView } from '../api/schema'
import { clock, day, duration, known, language, moment, t } from '../i18n'
import { Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { Sure } from '../parts/form'
import { useNow } from '../parts/now'
import { Sections } from '../parts/Sections'
import { ScheduleForm } from '../parts/ScheduleForm'
import { StandIn } from '../parts/StandIn'
import { Icon } from '../shell/icons'
import { Mark } from '../shell/Mark'
import { complain, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { incidentPath } from '../state/paths'
import { mayChange, mayMake, mayOperate, user } from '../state/session'
import { Policies, usePeople } from '../parts/Policies'
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
  const all = useAsked<SchedulesView>('/oncall/schedules')
  const standing = useSignal<string | null>(null)
  const editing = useSignal<string | null>(null)
  const people = usePeople(all.data)
  const whole = all.data?.schedules.find((s) => s.name === editing.value)
  const changed = (): void => {
    void asked.load()
    void all.load()
  }
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
            <Verdict title={title} lead={schedules.length === 0 ? t('oncall.noneLead') : t('oncall.lead')} mark={nobody.length > 0 ? <Mark of="warning" size={20} /> : undefined}>
              {mayMake.value && (
                <button class="btn strong" onClick={() => (editing.value = '')}>
                  <Icon name="plus" size={14} />
                  {t('oncall.newSchedule')}
                </button>
              )}
            </Verdict>
            {schedules.map((s) => (
              <Schedule key={s.schedule} one={s} whole={all.data?.schedules.find((w) => w.name === s.schedule)} standIn={() => (standing.value = s.schedule)} edit={() => (editing.value = s.schedule)} changed={changed} />
            ))}
            {standing.value !== null && <StandIn schedule={standing.value} people={people} onClose={() => (standing.value = null)} onMade={changed} />}
            {editing.value !== null && (editing.value === '' || whole) && <ScheduleForm one={whole} people={people} onClose={() => (editing.value = null)} onKept={changed} />}
          </>
        )
      }}
    </Show>
  )
}

interface ScheduleProps {
  one: NowView
  whole?: SchedulesView['schedules'][number]
  standIn: () => void
  edit: () => void
  changed: () => void
}

function Schedule({ one, whole, standIn, edit, changed }: ScheduleProps): JSX.Element {
  const now = useNow()
  const path = `/oncall/schedules/${encodeURIComponent(one.schedule)}`
  const forget = (what: string, said: string): Promise<void> =>
    remove(what).then(() => {
      tell(said)
      changed()
      return what === path ? undefined : shifts.load()
    }, complain)
  const shifts = useAsked<ShiftsView>(`${path}/shifts`, EVERY_MS)
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
          {mayChange(one.schedule) && (
            <>
              <button class="btn" aria-label={`${t('edit')}: ${one.title || one.schedule}`} onClick={edit}>{t('edit')}</button>
              <Sure text={t('oncall.forget')} what={t('oncall.forgetSure')} label={`${t('oncall.forget')}: ${one.title || one.schedule}`} onSure={() => forget(path, t('oncall.forgotten'))} />
            </>
          )}
        </div>
      </div>
      {shifts.data && <Rota shifts={shifts.data.shifts} />}
      {whole && whole.overrides.length > 0 && (
        <ul class="list overrides">
          {whole.overrides.map((o) => (
            <li class="item" key={o.id}>
              <div class="item-main">
                <p>{t('oncall.override', { name: o.person, from: moment(o.starts_at, now), to: moment(o.ends_at, now) })}</p>
                <p class="muted">{[o.author, o.comment].filter(Boolean).join(' · ')}</p>
              </div>
              {mayOperate.value && <button class="btn quiet" aria-label={`${t('silence.end')}: ${o.person}`} onClick={() => void forget(`/oncall/overrides/${o.id}`, t('oncall.overrideEnded'))}>{t('silence.end')}</button>}
            </li>
          ))}
        </ul>
      )}
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

/** What the server calls by a code, in the reader's words. */
function stateWord(item: HandoverItemView): string {
  const key = `${item.kind.startsWith('silence') ? 'silence' : 'incident'}.state.${item.state}`
  return known(key) ? t(key) : item.state
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
              <p class="muted num">{[stateWord(item), item.by, item.since_at === null ? '' : moment(item.since_at), item.until_at === null ? '' : t('silence.until', { time: moment(item.until_at) }), item.next].filter(Boolean).join(' · ')}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}
