/** What is kept quiet, until when, and why. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, remove } from '../api/client'
import type { WindowsView, WindowView } from '../api/schema'
import type { Recurrence, Silence, Silences as SilenceList } from '../api/types'
import { duration, known, language, moment, number, t, unit } from '../i18n'
import { useAsked } from '../parts/asked'
import { Calendar } from '../parts/Calendar'
import { Sure } from '../parts/form'
import { matcherText } from '../parts/matchers'
import { useNow } from '../parts/now'
import { SilenceForm } from '../parts/SilenceForm'
import { WindowForm } from '../parts/WindowForm'
import { Icon } from '../shell/icons'
import { complain, reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { mayChangeOf, mayOperate } from '../state/session'
import '../styles/pages.css'

const EVERY_MS = 10_000
const ENDED_SHOWN = 20

export default function Silences(): JSX.Element {
  const list = useSignal<Silence[] | null>(null)
  const trouble = useSignal<unknown>(null)
  const making = useSignal<Silence | 'new' | null>(null)
  const opening = useSignal<WindowView | 'new' | null>(null)
  const windows = useAsked<WindowsView>('/freezes', EVERY_MS * 3)
  const load = async (): Promise<void> => {
    try {
      list.value = (await get<SilenceList>('/silences')).silences
      trouble.value = null
    } catch (error) {
      trouble.value = error
    }
  }
  useEffect(() => {
    document.title = `${t('page.silences')} · ${t('brand')}`
  })
  useEffect(() => {
    void load()
    const timer = setInterval(() => !document.hidden && void load(), EVERY_MS)
    return () => clearInterval(timer)
  }, [])
  const end = async (silence: Silence): Promise<void> => {
    try {
      await remove(`/silences/${silence.id}`)
      tell(t('silence.ended'))
    } catch (error) {
      complain(error)
    }
    await load()
  }

  const endWindow = async (one: WindowView): Promise<void> => {
    try {
      await remove(`/freezes/${one.id}`)
      tell(t('window.ended'))
    } catch (error) {
      complain(error)
    }
    await windows.load()
  }

  const all = list.value
  const kept = windows.data?.windows ?? []
  const holding = kept.filter((w) => w.kind === 'freeze' && w.state === 'active')
  const pick = (fits: (s: Silence) => boolean): Silence[] => (all ?? []).filter(fits)
  const running = pick((s) => s.state === 'active')
  const planned = pick((s) => s.state === 'pending' && s.recurs === null)
  const weekly = pick((s) => s.state === 'pending' && s.recurs !== null)
  const over = pick((s) => s.state === 'expired').slice(0, ENDED_SHOWN)
  return (
    <Page trail={[{ text: t('page.silences') }]}>
      <div class="verdict with-act">
        <div>
          <h1 aria-live="polite">
            {all === null ? trouble.value === null ? <span class="ghost">{t('loading')}</span> : t('silence.noData') : running.length > 0 ? t('silence.running', { n: running.length }) : t('silence.none')}
            {holding.length > 0 && ` ${t('window.holding', { n: holding.length })}`}
          </h1>
          <p>{all === null && trouble.value !== null ? <span class="wrong" role="alert">{reason(trouble.value)}</span> : t('silence.lead')}</p>
        </div>
        {mayOperate.value ? (
          <div class="act-row flush">
            <button class="btn" onClick={() => (opening.value = 'new')}>
              <Icon name="plus" size={14} />
              {t('window.new')}
            </button>
            <button class="btn strong" onClick={() => (making.value = 'new')}>
              <Icon name="plus" size={14} />
              {t('silence.new')}
            </button>
          </div>
        ) : (
          <p class="muted">{t('incident.viewer')}</p>
        )}
      </div>
      {all !== null && <Calendar silences={all} windows={kept} />}
      <Windows list={kept.filter((w) => w.state !== 'expired')} trouble={windows.trouble} edit={(one) => (opening.value = one)} end={endWindow} />
      <Group title={t('silence.now')} list={running} edit={(one) => (making.value = one)} end={end} />
      <Group title={t('silence.planned')} list={planned} edit={(one) => (making.value = one)} end={end} />
      <Group title={t('silence.weekly')} list={weekly} edit={(one) => (making.value = one)} end={end} />
      <Group title={t('silence.over')} list={over} />
      {making.value && <SilenceForm matchers="" one={making.value === 'new' ? undefined : making.value} onClose={() => (making.value = null)} onMade={() => void load()} />}
      {opening.value && <WindowForm one={opening.value === 'new' ? undefined : opening.value} onClose={() => (opening.value = null)} onKept={() => void windows.load()} />}
    </Page>
  )
}

/** What keeps changes out, and when alone they are let in. */
function Windows({ list, trouble, edit, end }: { list: readonly WindowView[]; trouble: unknown; edit: (w: WindowView) => void; end: (w: WindowView) => Promise<void> }): JSX.Element | null {
  const now = useNow()
  if (list.length === 0 && trouble === null) return null
  return (
    <section class="block">
      <h2>{t('window.title')}</h2>
      {trouble !== null && <p class="wrong" role="alert">{reason(trouble)}</p>}
      <ul class="list">
        {list.map((w) => (
          <li class="item" key={w.id}>
            <div class="item-main">
              <p>
                <b>{w.name || w.comment || t('silence.noReason')}</b> <span class="muted">{t(`calendar.${w.kind}`)}</span>
                {w.kind === 'freeze' && w.state === 'active' && <span class="muted"> · {t('window.holdsNow')}</span>}
              </p>
              <p class="matchers">{w.selector === '{}' || w.selector === '' ? <span class="muted">{t('selector.all')}</span> : <code>{w.selector}</code>}</p>
              <p class="muted num">
                {[
                  w.recurs ? windowWords({ ...w.recurs, time_zone: w.time_zone }) : w.state === 'pending' && w.starts_at !== null ? t('silence.from', { time: moment(w.starts_at, now), left: duration(w.starts_at - now) }) : '',
                  w.ends_at === null ? '' : t('silence.until', { time: moment(w.ends_at, now) }),
                  t(`window.overrunShort.${w.overrun}`),
                  w.author,
                  w.name ? w.comment : '',
                ].filter(Boolean).join(' · ')}
              </p>
            </div>
            {mayOperate.value && (
              <div class="act-row flush">
                <button class="btn" aria-label={`${t('edit')}: ${w.name || w.id}`} onClick={() => edit(w)}>{t('edit')}</button>
                <Sure text={t('silence.end')} what={t('window.endSure')} label={`${t('silence.end')}: ${w.name || w.id}`} onSure={() => end(w)} />
              </div>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}

function Group({ title, list, edit, end }: { title: string; list: readonly Silence[]; edit?: (s: Silence) => void; end?: (s: Silence) => Promise<void> }): JSX.Element | null {
  if (list.length === 0) return null
  return (
    <section class="block">
      <h2>{title}</h2>
      <ul class="list">
        {list.map((silence) => (
          <Row key={silence.id} silence={silence} edit={edit} end={end} />
        ))}
      </ul>
    </section>
  )
}

function Row({ silence, edit, end }: { silence: Silence; edit?: (s: Silence) => void; end?: (s: Silence) => Promise<void> }): JSX.Element {
  const now = useNow()
  const { starts_at: from, ends_at: to } = silence
  const over = silence.state === 'expired'
  const times: string[] = []
  if (silence.recurs) times.push(windowWords(silence.recurs))
  if (over) times.push(to === null ? '' : t('silence.overAt', { time: moment(to, now) }))
  else if (silence.recurs === null && silence.state === 'pending' && from !== null) times.push(t('silence.from', { time: moment(from, now), left: duration(from - now) }))
  if (!over && to !== null) times.push(silence.recurs || silence.state === 'pending' ? t('silence.until', { time: moment(to, now) }) : t('silence.untilLeft', { time: moment(to, now), left: duration(to - now) }))
  return (
    <li class={`item ${over ? 'over' : ''}`}>
      <div class="item-main">
        <p>
          <b>{silence.comment || t('silence.noReason')}</b>
          {silence.team !== '' && <span class="muted"> · {t('ofTeam', { name: silence.team })}</span>}
        </p>
        <p class="matchers">
          {silence.matchers.map((m) => (
            <code key={matcherText(m)}>{matcherText(m)}</code>
          ))}
        </p>
        <p class="muted num">{[...times, silence.author, over && silence.ended_by ? t('silence.endedBy', { name: silence.ended_by }) : ''].filter(Boolean).join(' · ')}</p>
      </div>
      {edit && end && mayChangeOf(silence.team) && (
        <div class="act-row flush">
          <button class="btn" aria-label={`${t('edit')}: ${silence.comment || silence.id}`} onClick={() => edit(silence)}>{t('edit')}</button>
          <button class="btn" aria-label={`${t('silence.end')}: ${silence.comment || silence.id}`} onClick={() => void end(silence)}>
            {t('silence.end')}
          </button>
        </div>
      )}
    </li>
  )
}

/** "Mon, Tue from 02:00 for 60 min (Europe/Kyiv)". */
function windowWords(recurs: Recurrence): string {
  const days = recurs.days.map((d) => (known(`day.${d}`) ? t(`day.${d}`) : d))
  const length = recurs.minutes % 60 === 0 ? unit(number(recurs.minutes / 60), 'h') : unit(number(recurs.minutes), 'min')
  const list = new Intl.ListFormat(language(), { style: 'narrow' }).format(days)
  return t('silence.window', { days: list, start: recurs.start, time: length, zone: recurs.time_zone })
}
