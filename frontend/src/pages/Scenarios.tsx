/** Saved walks: which there are, how they stand, and which nobody uses. */
import type { JSX } from 'preact'
import type { RoundView, ScenariosView, ScenarioView } from '../api/schema'
import { duration, moment, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { LookMark } from '../parts/looks'
import { useNow } from '../parts/now'
import { Icon } from '../shell/icons'
import { Page } from '../shell/Shell'
import { roundPath, scenarioPath } from '../state/paths'
import { mayOperate } from '../state/session'
import '../styles/pages.css'
import '../styles/walk.css'

const EVERY_MS = 15_000

export default function Scenarios(): JSX.Element {
  const asked = useAsked<ScenariosView>('/scenarios', EVERY_MS)
  useTitle(t('page.scenarios'))
  return (
    <Page trail={[{ text: t('page.scenarios') }]}>
      <Show of={asked}>{(found) => <List found={found} />}</Show>
    </Page>
  )
}

function List({ found }: { found: ScenariosView }): JSX.Element {
  const all = found.scenarios
  const odd = all.filter((s) => s.last?.kind === 'play' && s.last.state === 'odd')
  const under = all.filter((s) => s.last?.state === 'open')
  const topics = [...new Set(all.map((s) => s.topic))].sort()
  const unused = all.filter((s) => s.unused)
  const title = odd.length > 0 ? t('scenarios.odd', { n: odd.length }) : under.length > 0 ? t('scenarios.open', { n: under.length }) : t('scenarios.calm')
  return (
    <>
      <Verdict title={title} lead={t('scenarios.lead')}>
        {mayOperate.value && (
          <a class="btn strong" href="/scenario/new">
            <Icon name="plus" size={14} />
            {t('scenarios.new')}
          </a>
        )}
      </Verdict>
      {Object.entries(found.problems).map(([file, problems]) => (
        <div class="fault" key={file} role="alert">
          <b>{file}</b>
          <ul>{problems.map((p) => <li key={p}>{p}</li>)}</ul>
        </div>
      ))}
      {topics.map((topic) => (
        <section class="block" key={topic}>
          <h2>{topic ? t(`topic.${topic}`) : t('topic.other')}</h2>
          <ul class="list">{all.filter((s) => s.topic === topic).map((s) => <Row key={s.name} one={s} />)}</ul>
        </section>
      ))}
      {unused.length > 0 && <p class="muted">{t('scenarios.unused', { n: unused.length, names: unused.map((s) => mine(s.title, s.title_uk)).join(', ') })}</p>}
    </>
  )
}

function Row({ one }: { one: ScenarioView }): JSX.Element {
  const now = useNow()
  const { uses, last } = one
  const facts = [
    t('scenario.views', { n: one.views }),
    one.every_s > 0 && t('scenario.every', { time: duration(one.every_s) }),
    uses.run > 0 && t('scenario.ran', { n: uses.run }),
    uses.watch > 0 && t('scenario.watched', { n: uses.watch }),
    uses.play > 0 && t('scenario.played', { n: uses.play }),
    one.unused && t('scenario.unused'),
  ].filter(Boolean)
  return (
    <li class="item">
      <LookMark state={last === null ? 'waiting' : standing(last)} />
      <div class="item-main">
        <p>
          <a class="stretch" href={scenarioPath(one.name)}>{mine(one.title, one.title_uk)}</a>
        </p>
        <p class="muted num">{facts.join(' · ')}</p>
      </div>
      {last && (
        <div class="item-side">
          <p>{t(`round.state.${last.state}`)}</p>
          <p class="muted num">{last.began_at === null ? '' : t('ago', { time: duration(now - last.began_at) })}</p>
        </div>
      )}
    </li>
  )
}

export function standing(round: RoundView): string {
  if (round.state === 'odd') return 'odd'
  return round.state === 'expected' || (round.state === 'signed' && round.odd === 0) ? 'expected' : 'waiting'
}

export function Rounds({ list }: { list: readonly RoundView[] }): JSX.Element {
  if (list.length === 0) return <p class="muted">{t('rounds.none')}</p>
  return (
    <ul class="list">
      {list.map((r) => (
        <li class={`item ${r.state === 'left' ? 'over' : ''}`} key={r.id}>
          <LookMark state={standing(r)} />
          <div class="item-main">
            <p>
              <a class="stretch" href={roundPath(r.id)}>{t('round.title', { id: r.id })}</a> <span class="muted">{t(`round.kind.${r.kind}`)}</span>
            </p>
            <p class="muted num">
              {[r.began_at === null ? '' : moment(r.began_at), r.by === 'vezha' ? t('round.itself') : r.by, r.ended_by && r.state === 'signed' ? t('round.signedBy', { name: r.ended_by }) : '', r.note].filter(Boolean).join(' · ')}
            </p>
          </div>
          <div class="item-side">
            <p>{t(`round.state.${r.state}`)}</p>
            <p class="muted num">{r.odd > 0 ? t('round.odd', { n: r.odd }) : ''}</p>
          </div>
        </li>
      ))}
    </ul>
  )
}
