/** What is kept quiet, until when, and why. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, remove } from '../api/client'
import type { Silence, Silences as SilenceList } from '../api/types'
import { duration, known, language, moment, number, t, unit } from '../i18n'
import { Calendar } from '../parts/Calendar'
import { matcherText } from '../parts/matchers'
import { useNow } from '../parts/now'
import { SilenceForm } from '../parts/SilenceForm'
import { Icon } from '../shell/icons'
import { complain, reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { mayOperate } from '../state/session'
import '../styles/pages.css'

const EVERY_MS = 10_000
const ENDED_SHOWN = 20

export default function Silences(): JSX.Element {
  const list = useSignal<Silence[] | null>(null)
  const trouble = useSignal<unknown>(null)
  const making = useSignal(false)
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

  const all = list.value
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
          </h1>
          <p>{all === null && trouble.value !== null ? <span class="wrong" role="alert">{reason(trouble.value)}</span> : t('silence.lead')}</p>
        </div>
        {mayOperate.value ? (
          <button class="btn strong" onClick={() => (making.value = true)}>
            <Icon name="plus" size={14} />
            {t('silence.new')}
          </button>
        ) : (
          <p class="muted">{t('incident.viewer')}</p>
        )}
      </div>
      {all !== null && <Calendar silences={all} />}
      <Group title={t('silence.now')} list={running} end={end} />
      <Group title={t('silence.planned')} list={planned} end={end} />
      <Group title={t('silence.weekly')} list={weekly} end={end} />
      <Group title={t('silence.over')} list={over} />
      {making.value && <SilenceForm matchers="" onClose={() => (making.value = false)} onMade={() => void load()} />}
    </Page>
  )
}

function Group({ title, list, end }: { title: string; list: readonly Silence[]; end?: (s: Silence) => Promise<void> }): JSX.Element | null {
  if (list.length === 0) return null
  return (
    <section class="block">
      <h2>{title}</h2>
      <ul class="list">
        {list.map((silence) => (
          <Row key={silence.id} silence={silence} end={end} />
        ))}
      </ul>
    </section>
  )
}

function Row({ silence, end }: { silence: Silence; end?: (s: Silence) => Promise<void> }): JSX.Element {
  const now = useNow()
  const { starts_at: from, ends_at: to } = silence
  const over = silence.state === 'expired'
  const times: string[] = []
  if (silence.recurs) times.push(windowWords(silence))
  if (over) times.push(to === null ? '' : t('silence.overAt', { time: moment(to, now) }))
  else if (silence.recurs === null && silence.state === 'pending' && from !== null) times.push(t('silence.from', { time: moment(from, now), left: duration(from - now) }))
  if (!over && to !== null) times.push(silence.recurs || silence.state === 'pending' ? t('silence.until', { time: moment(to, now) }) : t('silence.untilLeft', { time: moment(to, now), left: duration(to - now) }))
  return (
    <li class={`item ${over ? 'over' : ''}`}>
      <div class="item-main">
        <p>
          <b>{silence.comment || t('silence.noReason')}</b>
        </p>
        <p class="matchers">
          {silence.matchers.map((m) => (
            <code key={matcherText(m)}>{matcherText(m)}</code>
          ))}
        </p>
        <p class="muted num">{[...times, silence.author, over && silence.ended_by ? t('silence.endedBy', { name: silence.ended_by }) : ''].filter(Boolean).join(' · ')}</p>
      </div>
      {end && mayOperate.value && (
        <button class="btn" aria-label={`${t('silence.end')}: ${silence.comment || silence.id}`} onClick={() => void end(silence)}>
          {t('silence.end')}
        </button>
      )}
    </li>
  )
}

/** "Mon, Tue from 02:00 for 60 min (Europe/Kyiv)". */
function windowWords({ recurs }: Silence): string {
  if (!recurs) return ''
  const days = recurs.days.map((d) => (known(`day.${d}`) ? t(`day.${d}`) : d))
  const length = recurs.minutes % 60 === 0 ? unit(number(recurs.minutes / 60), 'h') : unit(number(recurs.minutes), 'min')
  const list = new Intl.ListFormat(language(), { style: 'narrow' }).format(days)
  return t('silence.window', { days: list, start: recurs.start, time: length, zone: recurs.time_zone })
}
