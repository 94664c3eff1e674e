/** A rule file: written, checked as one types, rehearsed on what has been, then saved; its versions. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { call } from '../api/client'
import type { FileDetailView, SavedView } from '../api/schema'
import { duration, moment, number, t } from '../i18n'
import { Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { go } from '../state/route'
import { mayChange } from '../state/session'
import '../styles/pages.css'

const CHECK_AFTER_MS = 500
const SPANS = ['1h', '1d', '7d']
const EXAMPLE = `groups:
  - name: mine
    rules:
      - alert: DiskNearlyFull
        expr: node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: "{{ $labels.mountpoint }} of {{ $labels.instance }} has {{ $value | humanizePercentage }} left."
          vezha_next: Remove what is not needed.
`

interface Rehearsed {
  rule: string
  severity: string
  fired: number
  seconds: number
  hosts: string[]
  errors?: unknown
}

export default function RuleFile({ name }: { name: string }): JSX.Element {
  useTitle(name === 'new' ? t('rulefile.new') : name)
  return (
    <Page trail={[{ text: t('page.rules'), href: '/rules' }, { text: name === 'new' ? t('rulefile.new') : name }]}>
      {name === 'new' ? <Editor name="" first={EXAMPLE} hash="" onSaved={(saved) => go(`/rules/${encodeURIComponent(saved)}`)} /> : <One name={name} />}
    </Page>
  )
}

function One({ name }: { name: string }): JSX.Element {
  const asked = useAsked<FileDetailView>(`/rule-files/${encodeURIComponent(name)}`)
  return (
    <Show of={asked} missing={t('rulefile.missing')}>
      {(file) => (
        <>
          <Editor key={file.hash} name={name} first={file.text} hash={file.hash} onSaved={() => void asked.load()} />
          {file.versions.length > 0 && (
            <section class="block">
              <h2>{t('scenario.versions')}</h2>
              <ul class="list">
                {file.versions.map((v) => (
                  <li class="item" key={v.id}>
                    <div class="item-main">
                      <p>
                        <b>{v.note || t('rulefile.noNote')}</b>
                      </p>
                      <p class="muted num">{[v.author, v.at === null ? '' : moment(v.at), v.hash.slice(0, 12), v.text === null ? t('rulefile.removed') : '', v.rehearsal && v.rehearsal.length > 0 ? t('rulefile.said', { n: v.rehearsal.reduce((n, r) => n + Number(r.fired), 0) }) : ''].filter(Boolean).join(' · ')}</p>
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

function Editor({ name: given, first, hash, onSaved }: { name: string; first: string; hash: string; onSaved: (name: string) => void }): JSX.Element {
  const name = useSignal(given || 'mine.yml')
  const may = mayChange(name.value.trim())
  const text = useSignal(first)
  const note = useSignal('')
  const span = useSignal(SPANS[1])
  const problems = useSignal<string[] | null>(null)
  const rehearsed = useSignal<Rehearsed[] | null>(null)
  const busy = useSignal(false)
  const put = (last: string, dry: boolean): Promise<SavedView> =>
    call<SavedView>('PUT', `/rule-files/${encodeURIComponent(name.value.trim())}`, { text: text.value, before: hash, last, note: note.value.trim(), dry_run: dry })
  useEffect(() => {
    rehearsed.value = null
    if (!may) return undefined
    const timer = setTimeout(() => put('0s', true).then((found) => (problems.value = found.problems), (error: unknown) => (problems.value = [reason(error)])), CHECK_AFTER_MS)
    return () => clearTimeout(timer)
  }, [text.value, name.value])
  const run = async (dry: boolean): Promise<void> => {
    busy.value = true
    try {
      // a version keeps what it would have done
      const found = await put(span.value, dry)
      problems.value = found.problems
      if (dry) rehearsed.value = found.rehearsal as unknown as Rehearsed[]
      else if (found.saved) {
        tell(t('rulefile.saved'))
        onSaved(found.name)
      }
    } catch (error) {
      problems.value = [reason(error)]
    } finally {
      busy.value = false
    }
  }
  const faults = problems.value ?? []
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault()
        // nothing is saved before it was said what it would have done
        void run(rehearsed.value === null)
      }}
    >
      <Verdict title={faults.length > 0 ? t('rulefile.faults', { n: faults.length }) : text.value === first ? given || t('rulefile.new') : t('rulefile.changed')} lead={may ? t('rulefile.lead') : t('access.teams')} />
      {!given && (
        <label class="field narrow">
          <span>{t('rulefile.name')}</span>
          <input class="input" required pattern="[A-Za-z0-9_.\-]+\.ya?ml" value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
        </label>
      )}
      <label class="field">
        <span>{t('rulefile.text')}</span>
        <textarea class="input mono" rows={20} spellcheck={false} readOnly={!may && given !== ''} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
      </label>
      <div role="status" class="lint">
        {faults.length > 0 ? <ul class="wrong">{faults.map((p) => <li key={p}>{p}</li>)}</ul> : problems.value !== null && <p class="muted">{t('scenario.good')}</p>}
      </div>
      {may && (
        <>
          <div class="ask-row">
            <div class="seg" role="group" aria-label={t('rulefile.span')}>
              {SPANS.map((s) => (
                <button
                  type="button"
                  key={s}
                  aria-pressed={span.value === s}
                  onClick={() => {
                    span.value = s
                    rehearsed.value = null
                  }}
                >{duration({ h: 3600, d: 86_400 }[s.slice(-1)]! * Number.parseInt(s, 10))}
                </button>
              ))}
            </div>
            <button type="button" class={`btn ${rehearsed.value === null ? 'strong' : ''}`} disabled={busy.value || faults.length > 0} onClick={() => void run(true)}>{t('rulefile.rehearse')}</button>
          </div>
          {rehearsed.value && <Rehearsal list={rehearsed.value} span={span.value} />}
          <div class="sign">
            <label class="field">
              <span>{t('rulefile.note')}</span>
              <input class="input" maxLength={4000} value={note.value} onInput={(e) => (note.value = e.currentTarget.value)} />
            </label>
            <button class={`btn ${rehearsed.value === null ? '' : 'strong'}`} disabled={busy.value || faults.length > 0 || rehearsed.value === null || (text.value === first && hash !== '')}>{t('save')}</button>
            {rehearsed.value === null && <p class="muted">{t('rulefile.first')}</p>}
          </div>
        </>
      )}
    </form>
  )
}

function Rehearsal({ list, span }: { list: readonly Rehearsed[]; span: string }): JSX.Element {
  const loud = list.filter((r) => r.fired > 0)
  return (
    <section class="block">
      <h2>{loud.length === 0 ? t('rulefile.quiet', { span }) : t('rulefile.loud', { n: loud.reduce((n, r) => n + r.fired, 0), span })}</h2>
      {list.length > 0 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label={t('rulefile.rehearse')}>
          <table class="audit num">
            <thead>
              <tr>
                <th scope="col">{t('rulefile.rule')}</th>
                <th scope="col">{t('rulefile.fired')}</th>
                <th scope="col">{t('rulefile.long')}</th>
                <th scope="col">{t('fleet.hosts')}</th>
              </tr>
            </thead>
            <tbody>
              {list.map((r) => (
                <tr key={r.rule}>
                  <td>{r.rule} <span class="muted">{t(`severity.${r.severity}`)}</span></td>
                  <td>{number(r.fired)}</td>
                  <td>{r.fired > 0 ? duration(r.seconds) : '—'}</td>
                  <td class="wrap">{r.hosts.slice(0, 6).join(', ')}{r.hosts.length > 6 ? ` ${t('chart.more', { n: r.hosts.length - 6 })}` : ''}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
