/** One scenario: what it walks, how that stands now, its rounds, its text. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { call, post, remove } from '../api/client'
import type { LooksView, RoundDetailView, ScenarioDetailView, ScenarioFaultsView } from '../api/schema'
import { moment, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { Evidence, LookMark, lookWords } from '../parts/looks'
import { Icon } from '../shell/icons'
import { complain, reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { roundPath, scenarioPath } from '../state/paths'
import { go } from '../state/route'
import { mayOperate } from '../state/session'
import { setWalk } from '../state/walk'
import { Rounds } from './Scenarios'
import '../styles/pages.css'
import '../styles/walk.css'

const EVERY_MS = 10_000
const EXAMPLE = `scenario: my-walk
title: What I look at
about: When, and why.
for: servers
views:
  - title: Processors
    at: /fleet?by=cpu&sort=cpu
    look_for: No host has been above 90 % for ten minutes.
    odd: 1 - avg by (instance) (sum by (instance, cpu) (rate(node_cpu_seconds_total{mode=~"idle|iowait"}[10m]))) > 0.9
  - title: The room
    at: /oncall
    look_for: The lights are on.
`

export default function Scenario({ what: name }: { what: string }): JSX.Element {
  return name === 'new' ? <New /> : <One name={name} />
}

function New(): JSX.Element {
  useTitle(t('scenarios.new'))
  return (
    <Page trail={[{ text: t('page.scenarios'), href: '/scenarios' }, { text: t('scenarios.new') }]}>
      <Verdict title={t('scenarios.new')} lead={t('scenario.newLead')} />
      <Editor text={EXAMPLE} version="" onSaved={(saved) => go(scenarioPath(saved))} />
    </Page>
  )
}

function One({ name }: { name: string }): JSX.Element {
  const path = `/scenarios/${encodeURIComponent(name)}`
  const asked = useAsked<ScenarioDetailView>(path)
  const looks = useAsked<LooksView>(`${path}/looks`, EVERY_MS)
  const editing = useSignal(false)
  const found = asked.data
  useTitle(found ? mine(found.title, found.title_uk) : t('page.scenarios'))
  const begin = async (kind: 'run' | 'play'): Promise<void> => {
    try {
      const round = await post<RoundDetailView>(`${path}/rounds`, { kind })
      if (kind === 'play') {
        go(roundPath(round.id))
        return
      }
      setWalk({ kind: 'run', name, round: round.id, at: 0 })
      go(round.walk[0].at)
    } catch (error) {
      complain(error)
    }
  }
  const forget = async (): Promise<void> => {
    try {
      await remove(path)
      tell(t('scenario.removed'))
      go('/scenarios')
    } catch (error) {
      complain(error)
    }
  }
  return (
    <Page trail={[{ text: t('page.scenarios'), href: '/scenarios' }, { text: found ? mine(found.title, found.title_uk) : name }]}>
      <Show of={asked} missing={t('scenario.missing')}>
        {(one) => (
          <>
            <Verdict title={mine(one.title, one.title_uk)} lead={mine(one.about, one.about_uk)}>
              <a class="btn" href={`/watch/${encodeURIComponent(name)}`}>
                <Icon name="screen" size={14} />
                {t('scenario.watch')}
              </a>
              {mayOperate.value && (
                <>
                  <button class="btn" onClick={() => void begin('play')}>
                    <Icon name="play" size={14} />
                    {t('scenario.play')}
                  </button>
                  <button class="btn strong" onClick={() => void begin('run')}>{t('scenario.run')}</button>
                </>
              )}
            </Verdict>
            <div class="incident-page">
              <section>
                <h2>{t('scenario.walk')}</h2>
                <ol class="list">
                  {one.walk.map((view, i) => {
                    const look = looks.data?.looks[i]
                    const judged = view.expect || view.odd
                    return (
                      <li class="item tall" key={i}>
                        {look ? <LookMark state={look.state} /> : <span class="look-mark" />}
                        <div class="item-main">
                          <p>
                            <a href={view.at}>{mine(view.title, view.title_uk)}</a>
                          </p>
                          <p>{mine(view.look_for, view.look_for_uk)}</p>
                          {look && <p class="muted">{lookWords(look)}</p>}
                          {look && <Evidence look={look} />}
                          {judged && <p class="expr"><code>{view.odd || view.expect}</code></p>}
                        </div>
                      </li>
                    )
                  })}
                </ol>
              </section>
              <aside>
                <h2>{t('rounds.title')}</h2>
                <Rounds list={one.rounds} />
                <h2 class="spaced">{t('scenario.versions')}</h2>
                <ul class="muted num">
                  {one.versions.map((v) => (
                    <li key={v.version}>
                      <code>{v.version}</code> {v.first_at === null ? '' : moment(v.first_at)}
                      {v.version === one.version && ` · ${t('scenario.now')}`}
                    </li>
                  ))}
                  {one.versions.length === 0 && <li>{t('scenario.neverUsed')}</li>}
                </ul>
                <p class="muted gap">{one.builtin ? t('scenario.builtin') : t('scenario.own')}</p>
                {mayOperate.value && (
                  <div class="act-row flush">
                    <button class="btn" onClick={() => (editing.value = !editing.value)}>{t('scenario.edit')}</button>
                    {!one.builtin && <button class="btn quiet" onClick={() => void forget()}>{t('scenario.remove')}</button>}
                  </div>
                )}
              </aside>
            </div>
            {editing.value && (
              <Editor
                text={one.text}
                version={one.version}
                onSaved={(saved) => {
                  editing.value = false
                  if (saved !== name) go(scenarioPath(saved))
                  else void Promise.all([asked.load(), looks.load()])
                }}
              />
            )}
          </>
        )}
      </Show>
    </Page>
  )
}

const LINT_AFTER_MS = 400

function Editor({ text: first, version, onSaved }: { text: string; version: string; onSaved: (name: string) => void }): JSX.Element {
  const text = useSignal(first)
  const problems = useSignal<string[]>([])
  const checked = useSignal('')
  useEffect(() => {
    const now = text.value
    const timer = setTimeout(() => {
      post<ScenarioFaultsView>('/scenarios/lint', { text: now }).then(
        (found) => {
          problems.value = found.problems
          checked.value = now
        },
        (error: unknown) => (problems.value = [reason(error)]),
      )
    }, LINT_AFTER_MS)
    return () => clearTimeout(timer)
  }, [text.value])
  const save = async (): Promise<void> => {
    const name = /^scenario:\s*["']?([\w-]+)/m.exec(text.value)?.[1] ?? ''
    const known = first === text.value || new RegExp(`^scenario:\\s*["']?${name}\\b`, 'm').test(first)
    try {
      const found = await call<ScenarioFaultsView>('PUT', `/scenarios/${encodeURIComponent(name || '-')}`, { text: text.value, version: known ? version : '' })
      problems.value = found.problems
      if (found.problems.length > 0) return
      tell(t('scenario.saved'))
      onSaved(name)
    } catch (error) {
      problems.value = [reason(error)]
    }
  }
  return (
    <form
      class="block"
      onSubmit={(e) => {
        e.preventDefault()
        void save()
      }}
    >
      <label class="field">
        <span>{t('scenario.text')}</span>
        <textarea class="input mono" rows={22} spellcheck={false} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
      </label>
      <div role="status" class="lint">
        {problems.value.length > 0 ? <ul class="wrong">{problems.value.map((p) => <li key={p}>{p}</li>)}</ul> : checked.value === text.value && <p class="muted">{t('scenario.good')}</p>}
      </div>
      <button class="btn strong" disabled={problems.value.length > 0}>{t('save')}</button>
    </form>
  )
}
