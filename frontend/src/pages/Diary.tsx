/** The week: what was delivered, what is stable, where the risk is. Prints on A4. */
import type { JSX } from 'preact'
import { Fragment } from 'preact'
import type { PageView, WeeksView } from '../api/schema'
import { known, language, moment, t } from '../i18n'
import { Show, useAsked, useTitle } from '../parts/asked'
import { Icon } from '../shell/icons'
import { Page } from '../shell/Shell'
import { diaryPath } from '../state/paths'
import { go } from '../state/route'
import { bind } from '../shell/keys'
import { useEffect } from 'preact/hooks'
import '../styles/pages.css'
import '../styles/diary.css'

export default function Diary({ what }: { what: string }): JSX.Element {
  const weeks = useAsked<WeeksView>('/diary')
  const list = weeks.data?.weeks ?? []
  const week = what ? what.toUpperCase() : thisWeek()
  useTitle(`${t('page.diary')} ${week}`)
  const at = list.findIndex((w) => w.week.toUpperCase() === week)
  const older = list[at + 1]?.week
  const newer = at > 0 ? list[at - 1].week : undefined
  useEffect(
    () =>
      bind({
        '[': () => older && go(diaryPath(older)),
        ']': () => newer && go(diaryPath(newer)),
      }),
    [older, newer],
  )
  return (
    <Page trail={[{ text: t('page.diary'), href: '/diary' }, { text: week }]}>
      <Week key={`${week} ${language()}`} week={week} older={older} newer={newer} />
      {list.length > 1 && (
        <nav class="weeks no-print" aria-label={t('diary.weeks')}>
          <h2>{t('diary.weeks')}</h2>
          <p>
            {list.map((w) => (
              <a key={w.week} class="link num" href={diaryPath(w.week)} aria-current={w.week.toUpperCase() === week ? 'page' : undefined}>{w.week}</a>
            ))}
          </p>
        </nav>
      )}
    </Page>
  )
}

function Week({ week, older, newer }: { week: string; older?: string; newer?: string }): JSX.Element {
  const asked = useAsked<PageView>(`/diary/${encodeURIComponent(week)}?language=${language()}`)
  return (
    <Show of={asked} missing={t('diary.missing')}>
      {(page) => (
        <article class="diary">
          <header class="verdict with-act">
            <div>
              <h1>{page.title}</h1>
              <p class="num">{[page.span, page.is_over ? '' : t('diary.running'), page.made_at === null ? '' : t('diary.made', { time: moment(page.made_at) })].filter(Boolean).join(' · ')}</p>
            </div>
            <div class="act-row flush no-print">
              {older && <a class="btn" href={diaryPath(older)} title="[">{t('diary.older')}</a>}
              {newer && <a class="btn" href={diaryPath(newer)} title="]">{t('diary.newer')}</a>}
              <button class="btn" onClick={() => print()}>
                <Icon name="print" size={14} />
                {t('diary.print')}
              </button>
            </div>
          </header>
          {page.lead.length > 0 && <ul class="diary-lead">{page.lead.map((line) => <li class="fact" key={line}>{line}</li>)}</ul>}
          {page.parts.map((part) => (
            <section key={part.name}>
              <h2>{part.heading}</h2>
              <ul>
                {part.lines.map((line, i) => (
                  <li key={i}>
                    {line.text}
                    {line.cites.some(linked) && (
                      <span class="cites">
                        {line.cites.filter(linked).slice(0, 6).map((c) => (
                          <Fragment key={c.id}>
                            {' '}
                            <a class="link" href={c.path}>{cited(c.id)}</a>
                          </Fragment>
                        ))}
                      </span>
                    )}
                  </li>
                ))}
              </ul>
            </section>
          ))}
        </article>
      )}
    </Show>
  )
}

/** Weeks are this page itself. */
const linked = (cite: { id: string; path: string }): boolean => cite.path !== '' && !cite.id.startsWith('week:')

/** What a citation calls the thing, in the reader's words: "change 7". A host's name says it all. */
function cited(id: string): string {
  const at = id.indexOf(':')
  const kind = id.slice(0, at)
  const name = id.slice(at + 1)
  if (kind === 'host') return name
  const key = `cite.${kind}`
  return `${known(key) ? t(key) : kind}\u00a0${name}`
}

/** The ISO week in which the reader is: 2026-W47. */
export function thisWeek(now = new Date()): string {
  const day = new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()))
  day.setUTCDate(day.getUTCDate() + 4 - (day.getUTCDay() || 7))
  const first = Date.UTC(day.getUTCFullYear(), 0, 1)
  const week = Math.ceil(((day.getTime() - first) / 86_400_000 + 1) / 7)
  return `${day.getUTCFullYear()}-W${String(week).padStart(2, '0')}`
}
