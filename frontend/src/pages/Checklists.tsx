/** What is under way, and the checklists that there are. */
import { useComputed, useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post, remove } from '../api/client'
import type { ChecklistDetailView, ChecklistFigures, ChecklistsView, ChecklistView, RunDetailView, RunListView, RunsView } from '../api/schema'
import { duration, moment, number, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { ChecklistEditor } from '../parts/ChecklistEditor'
import { Sure } from '../parts/form'
import { useNow } from '../parts/now'
import { Sections } from '../parts/Sections'
import { Icon } from '../shell/icons'
import { complain, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { runPath } from '../state/paths'
import { go } from '../state/route'
import { mayChangeOf, mayOperate } from '../state/session'
import '../styles/pages.css'
import '../styles/steps.css'

const EVERY_MS = 5000

export default function Checklists({ what }: { what: string }): JSX.Element {
  useTitle(t('page.checklists'))
  if (what === 'new') return <New />
  if (what !== '' && what !== 'figures') return <One name={what} key={what} />
  const sections = [
    { id: '', text: t('checklists.runs'), href: '/checklists' },
    { id: 'figures', text: t('checklists.figures'), href: '/checklists/figures' },
  ]
  return (
    <Page trail={[{ text: t('page.checklists') }]}>
      <Sections list={sections} here={what} />
      {what === 'figures' ? <Figures /> : <List />}
    </Page>
  )
}

function List(): JSX.Element {
  const runs = useAsked<RunsView>('/checklist-runs?limit=50', EVERY_MS)
  const all = useAsked<ChecklistsView>('/checklists')
  const filter = useSignal('')
  const shown = useComputed(() => filter.value.toLowerCase())
  return (
    <Show of={runs}>
      {({ runs: list }) => {
        const open = list.filter((r) => r.state === 'running' || r.state === 'stopped')
        const done = list.filter((r) => !open.includes(r)).slice(0, 12)
        const stopped = open.filter((r) => r.state === 'stopped').length
        return (
          <>
            <Verdict
              title={stopped > 0 ? t('checklists.stopped', { n: stopped }) : open.length > 0 ? t('checklists.open', { n: open.length }) : t('checklists.none')}
              lead={t('checklists.lead')}
            >
              {mayOperate.value && (
                <a class="btn" href="/checklists/new">
                  <Icon name="plus" size={14} />
                  {t('checklist.new')}
                </a>
              )}
            </Verdict>
            {open.length > 0 && <Runs title={t('checklists.underWay')} list={open} />}
            <section class="block">
              <div class="section-head">
                <h2>{t('checklists.all')}</h2>
                <input class="input filter" type="search" placeholder={t('checklists.filter')} aria-label={t('checklists.filter')} value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} />
              </div>
              <Show of={all}>
                {(found) => (
                  <>
                    {Object.entries(found.problems).map(([file, problems]) => (
                      <div class="fault" key={file} role="alert">
                        <b>{file}</b>
                        <ul>{problems.map((p) => <li key={p}>{p}</li>)}</ul>
                      </div>
                    ))}
                    <ul class="list two">
                      {found.checklists
                        .filter((c) => [c.name, c.title, c.title_uk, ...c.applies_to].join(' ').toLowerCase().includes(shown.value))
                        .map((one) => <Row key={one.name} one={one} />)}
                    </ul>
                  </>
                )}
              </Show>
            </section>
            {done.length > 0 && <Runs title={t('checklists.done')} list={done} />}
          </>
        )
      }}
    </Show>
  )
}

function Row({ one }: { one: ChecklistView }): JSX.Element {
  return (
    <li class="item">
      <div class="item-main">
        <p>
          <a class="stretch" href={`/checklists/${encodeURIComponent(one.name)}`}>{mine(one.title, one.title_uk)}</a>
        </p>
        <p class="muted">{[t('checklist.steps', { n: one.steps_count }), one.applies_to.join(', '), one.own ? t('checklist.own') : '', one.team && t('ofTeam', { name: one.team })].filter(Boolean).join(' · ')}</p>
      </div>
    </li>
  )
}

export function Runs({ title, list }: { title: string; list: readonly RunListView[] }): JSX.Element {
  const now = useNow()
  return (
    <section class="block">
      <h2>{title}</h2>
      <ul class="list">
        {list.map((run) => {
          const over = run.state === 'done' || run.state === 'abandoned'
          return (
            <li class={`item ${over ? 'over' : ''}`} key={run.id}>
              <div class="item-main">
                <p>
                  <a class="stretch" href={runPath(run.id)}>{mine(run.title, run.title_uk)}</a>
                </p>
                <p class="muted num">
                  {[t('run.byAt', { name: run.started_by, time: run.started_at === null ? '' : moment(run.started_at) }), run.incident === null ? '' : t('incident.number', { id: run.incident })].filter(Boolean).join(' · ')}
                </p>
              </div>
              <div class="item-side">
                <p class={run.state === 'stopped' ? 'warning-text' : ''}>{t(`run.state.${run.state}`)}</p>
                <p class="muted num">
                  {over ? (run.finished_at !== null && run.started_at !== null ? duration(run.finished_at - run.started_at) : '') : t('run.left', { n: run.steps_open, total: run.steps, count: run.steps_open, time: run.started_at === null ? '' : duration(now - run.started_at) })}
                </p>
              </div>
            </li>
          )
        })}
      </ul>
    </section>
  )
}

function New(): JSX.Element {
  return (
    <Page trail={[{ text: t('page.checklists'), href: '/checklists' }, { text: t('checklist.new') }]}>
      <Verdict title={t('checklist.new')} lead={t('checklist.newLead')} />
      {mayOperate.value ? <ChecklistEditor name="" onClose={() => go('/checklists')} onSaved={(name) => go(`/checklists/${encodeURIComponent(name)}`)} /> : <p class="muted">{t('asked.forbiddenWhat')}</p>}
    </Page>
  )
}

function One({ name }: { name: string }): JSX.Element {
  const editing = useSignal(false)
  const forget = async (): Promise<void> => {
    try {
      await remove(`/checklists/${encodeURIComponent(name)}`)
      tell(t('scenario.removed'))
      go('/checklists')
    } catch (error) {
      complain(error)
    }
  }
  const asked = useAsked<ChecklistDetailView>(`/checklists/${encodeURIComponent(name)}`)
  const begin = async (): Promise<void> => {
    try {
      go(runPath((await post<RunDetailView>('/checklist-runs', { checklist: name })).id))
    } catch (error) {
      complain(error)
    }
  }
  return (
    <Page trail={[{ text: t('page.checklists'), href: '/checklists' }, { text: asked.data ? mine(asked.data.title, asked.data.title_uk) : name }]}>
      <Show of={asked} missing={t('checklist.missing')}>
        {(one) => (
          <div class="narrow wide">
            <Verdict title={mine(one.title, one.title_uk)} lead={mine(one.intro, one.intro_uk)}>
              {mayOperate.value && (
                <>
                  {one.own && mayChangeOf(one.team) && <Sure text={t('scenario.remove')} what={t('checklist.removeSure')} onSure={forget} />}
                  {mayChangeOf(one.team) && <button class="btn" aria-expanded={editing.value} onClick={() => (editing.value = !editing.value)}>{t('edit')}</button>}
                  <button class="btn strong" onClick={() => void begin()}>{t('checklist.begin')}</button>
                </>
              )}
            </Verdict>
            {editing.value && (
              <>
                {!one.own && <p class="muted gap">{t('scenario.builtin')}</p>}
                <ChecklistEditor
                  name={one.name}
                  first={one.text}
                  hash={one.hash}
                  onClose={() => (editing.value = false)}
                  onSaved={() => {
                    editing.value = false
                    void asked.load()
                  }}
                />
              </>
            )}
            {one.applies_to.length > 0 && <p class="muted gap">{t('checklist.applies', { names: one.applies_to.join(', ') })}</p>}
            <ol class="steps">
              {one.steps.map((s) => (
                <li class="step" key={s.number}>
                  <span class="step-mark num">{s.number}</span>
                  <div>
                    <p class="step-text">{mine(s.text, s.text_uk)}</p>
                    {s.help && <p class="muted">{mine(s.help, s.help_uk)}</p>}
                    {s.query && <p class="expr"><code>{s.query}</code></p>}
                  </div>
                </li>
              ))}
            </ol>
            <details class="block">
              <summary>{t('checklist.text')}</summary>
              <pre class="mono source">{one.text}</pre>
            </details>
          </div>
        )}
      </Show>
    </Page>
  )
}

function Figures(): JSX.Element {
  const asked = useAsked<{ checklists: ChecklistFigures[] }>('/checklist-figures')
  return (
    <Show of={asked}>
      {({ checklists }) => (
        <>
          <Verdict title={checklists.length === 0 ? t('figures.none') : t('figures.title', { n: checklists.length })} lead={t('figures.lead')} />
          {checklists.map((one) => (
            <section class="block" key={one.checklist}>
              <h2>{mine(one.title, one.title_uk)}</h2>
              <p class="muted num">{[t('figures.runs', { n: one.runs }), one.median_s === null ? '' : t('figures.median', { time: duration(one.median_s) })].filter(Boolean).join(' · ')}</p>
              <div class="scroll-x" tabIndex={0} role="region" aria-label={mine(one.title, one.title_uk)}>
                <table class="audit num">
                  <thead>
                    <tr>
                      <th scope="col">{t('figures.step')}</th>
                      <th scope="col">{t('figures.answered')}</th>
                      <th scope="col">{t('figures.skipped')}</th>
                      <th scope="col">{t('figures.half')}</th>
                    </tr>
                  </thead>
                  <tbody>
                    {one.steps.map((s) => (
                      <tr key={s.number}>
                        <td class="wrap">{s.number}. {mine(s.text, s.text_uk)}</td>
                        <td>{number(s.answered)}</td>
                        <td>{number(s.skipped)}</td>
                        <td>{s.median_s === null ? '—' : duration(s.median_s)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </section>
          ))}
        </>
      )}
    </Show>
  )
}

