/** What is judged, how it stands, and what it costs. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get } from '../api/client'
import type { FilesView } from '../api/schema'
import type { Severity } from '../api/types'
import { clock, duration, known, t } from '../i18n'
import { quantity } from '../i18n/quantity'
import { useAsked } from '../parts/asked'
import { evaluated, standing, type RuleGroup, type RuleList, type RuleRow } from '../parts/rulestate'
import { Mark } from '../shell/Mark'
import { reason } from '../shell/notice'
import { Page } from '../shell/Shell'
import { mayMake } from '../state/session'
import RuleFile from './RuleFile'
import '../styles/pages.css'

const EVERY_MS = 5000

export default function Rules({ what }: { what: string }): JSX.Element {
  return what === '' ? <List /> : <RuleFile name={what} />
}

/** The operator's own files, which can be changed here. */
function Files(): JSX.Element | null {
  const asked = useAsked<FilesView>('/rule-files', EVERY_MS * 4)
  const files = asked.data?.files ?? []
  return (
    <section class="block">
      <div class="section-head">
        <h2>{t('rulefile.own')}</h2>
        {mayMake.value && <a class="btn" href="/rules/new">{t('rulefile.new')}</a>}
      </div>
      {files.length === 0 && <p class="muted">{t('rulefile.noneYet')}</p>}
      <ul class="list">
        {files.map((f) => (
          <li class="item" key={f.name}>
            {f.problems.length > 0 && <Mark of="warning" size={14} />}
            <div class="item-main">
              <p>
                <a class="stretch" href={`/rules/${encodeURIComponent(f.name)}`}>{f.name}</a>
              </p>
              <p class="muted num">{f.problems[0] ?? t('rules.count', { n: f.rules })}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

function List(): JSX.Element {
  const found = useSignal<RuleList | null>(null)
  const trouble = useSignal<unknown>(null)
  useEffect(() => {
    document.title = `${t('page.rules')} · ${t('brand')}`
  })
  useEffect(() => {
    const load = async (): Promise<void> => {
      try {
        found.value = (await get<{ data: RuleList }>('/rules')).data
        trouble.value = null
      } catch (error) {
        trouble.value = error
      }
    }
    void load()
    const timer = setInterval(() => !document.hidden && void load(), EVERY_MS)
    return () => clearInterval(timer)
  }, [])

  const list = found.value
  const rules = list?.groups.flatMap((g) => g.rules) ?? []
  const firing = rules.filter((r) => standing(r) === 'firing').length
  const failing = rules.filter((r) => r.health === 'err').length
  const problems = Object.entries(list?.problems ?? {})
  const total = list === null ? '' : `${t('rules.count', { n: rules.length })} ${t('rules.groups', { n: list.groups.length })}`
  return (
    <Page trail={[{ text: t('page.rules') }]}>
      <div class="verdict">
        <h1 aria-live="polite">
          {list === null ? (
            trouble.value === null ? <span class="ghost">{t('loading')}</span> : t('rules.noData')
          ) : problems.length > 0 ? (
            t('rules.broken', { n: problems.length })
          ) : failing > 0 ? (
            t('rules.failing', { n: failing })
          ) : firing > 0 ? (
            t('rules.firing', { n: firing })
          ) : rules.length === 0 ? (
            t('rules.none')
          ) : (
            t('rules.quiet')
          )}
        </h1>
        <p>{list === null ? trouble.value !== null && <span class="wrong" role="alert">{reason(trouble.value)}</span> : rules.length === 0 ? t('rules.noneLead') : total}</p>
      </div>
      {problems.length > 0 && (
        <section class="block">
          <h2>{t('rules.brokenFiles')}</h2>
          <ul class="list">
            {problems.map(([file, texts]) => (
              <li class="item" key={file}>
                <Mark of="warning" />
                <div class="item-main">
                  <p>
                    <b>{file}</b>
                  </p>
                  {texts.map((text) => (
                    <p key={text} class="wrong">{text}</p>
                  ))}
                </div>
              </li>
            ))}
          </ul>
        </section>
      )}
      <Files />
      {list?.groups.map((group) => (
        <Group key={`${group.file} ${group.name}`} group={group} />
      ))}
    </Page>
  )
}

function cost(seconds: number): string {
  const { value, unit } = quantity(seconds, 'seconds')
  return unit ? `${value}\u00a0${unit}` : value
}

function Group({ group }: { group: RuleGroup }): JSX.Element {
  const at = evaluated(group.lastEvaluation)
  return (
    <section class="block">
      <h2 class="num">
        {group.name} <span class="light">· {group.file} · {t('rules.every', { time: duration(group.interval) })}</span>
        {at !== null && <span class="light"> · {t('rules.cost', { time: cost(group.evaluationTime) })}</span>}
      </h2>
      <ul class="list">
        {group.rules.map((rule, i) => (
          <Rule key={`${rule.name} ${i}`} rule={rule} />
        ))}
      </ul>
    </section>
  )
}

function Rule({ rule }: { rule: RuleRow }): JSX.Element {
  const state = standing(rule)
  const at = evaluated(rule.lastEvaluation)
  const count = rule.alerts?.filter((a) => a.state === 'firing').length ?? 0
  const severity = rule.labels?.severity ?? ''
  const mark: Severity | 'normal' | 'unknown' = state === 'firing' ? (severity === 'critical' || severity === 'info' ? severity : 'warning') : state === 'failing' || state === 'unknown' || state === 'pending' ? 'unknown' : 'normal'
  const facts = [
    known(`severity.${severity}`) ? t(`severity.${severity}`) : severity,
    rule.duration ? t('rules.for', { time: duration(rule.duration) }) : '',
  ].filter(Boolean)
  return (
    <li class="item">
      <Mark of={mark} />
      <div class="item-main">
        <details class="rule">
          <summary>
            <b>{rule.name}</b> <span class="muted">{facts.join(' · ')}</span>
          </summary>
          <pre class="expr" tabIndex={0}><code>{rule.query}</code></pre>
          <a class="link" href={`/explore?q=${encodeURIComponent(rule.query)}`}>{t('explore.open')}</a>
        </details>
        {rule.lastError && <p class="wrong">{rule.lastError}</p>}
      </div>
      <div class="item-side num">
        <p>{state === 'firing' ? <b class={severity === 'critical' ? 'critical' : 'warning'}>{t('rules.firingCount', { n: count })}</b> : state === 'quiet' && rule.type === 'recording' ? t('rules.recording') : t(`rules.state.${state}`)}</p>
        <p class="muted">{at === null ? t('rules.never') : `${clock(at, true)} · ${cost(rule.evaluationTime)}`}</p>
      </div>
    </li>
  )
}
