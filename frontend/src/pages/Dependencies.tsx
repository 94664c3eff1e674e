/** What depends on what: what people said, what history suggests, what files and labels say. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useId } from 'preact/hooks'
import { post, remove } from '../api/client'
import type { DependenciesView, DependencyView, SuggestionsView, SuggestionView } from '../api/schema'
import { duration, moment, t } from '../i18n'
import { Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { Field, Foot, FormBox, Sure, useForm } from '../parts/form'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { complain, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { hosts, loadHosts } from '../state/fleet'
import { mayOperate } from '../state/session'
import '../styles/pages.css'

const EVERY_MS = 15_000

export default function Dependencies(): JSX.Element {
  useTitle(t('page.dependencies'))
  const all = useAsked<DependenciesView>('/dependencies', EVERY_MS)
  const learned = useAsked<SuggestionsView>('/dependency-suggestions', EVERY_MS * 4)
  const making = useSignal(false)
  const changed = async (): Promise<void> => {
    await Promise.all([all.load(), learned.load()])
  }
  const forget = (one: DependencyView): Promise<void> =>
    remove(`/dependencies/${one.id}`).then(() => {
      tell(t('depends.gone'))
      return changed()
    }, complain)
  const judge = (one: SuggestionView, accept: boolean): Promise<void> =>
    post('/dependency-suggestions', { child: one.child, parent: one.parent, accept }).then(() => {
      tell(accept ? t('depends.kept') : t('depends.dismissed'))
      return changed()
    }, complain)
  const suggested = learned.data?.suggestions ?? []
  return (
    <Page trail={[{ text: t('page.incidents'), href: '/incidents' }, { text: t('page.dependencies') }]}>
      <Show of={all}>
        {({ dependencies, inhibitions, problem }) => (
          <>
            <Verdict title={suggested.length > 0 ? t('depends.suggests', { n: suggested.length }) : dependencies.length > 0 ? t('depends.title', { n: dependencies.length }) : t('depends.none')} lead={t('depends.lead')}>
              {mayOperate.value ? (
                <button class="btn strong" onClick={() => (making.value = true)}>
                  <Icon name="plus" size={14} />
                  {t('depends.new')}
                </button>
              ) : (
                <p class="muted">{t('incident.viewer')}</p>
              )}
            </Verdict>
            {problem && <p class="wrong gap" role="alert">{problem}</p>}
            {suggested.length > 0 && (
              <section class="block">
                <h2>{t('depends.learned')}</h2>
                <ul class="list">
                  {suggested.map((s) => (
                    <li class="item" key={`${s.child} ${s.parent}`}>
                      <div class="item-main">
                        <p>
                          <End text={s.child} /> <span class="muted">{t('depends.on')}</span> <End text={s.parent} />
                        </p>
                        <p class="muted num">{t('depends.evidence', { together: s.together, parent: s.parent_outages, child: s.child_outages, first: s.parent_first, lead: duration(s.median_lead_s) })}</p>
                        <p class="muted num">{s.examples_at.slice(0, 3).map((at) => moment(at)).join(' · ')}</p>
                      </div>
                      {mayOperate.value && (
                        <div class="act-row flush">
                          <button class="btn" aria-label={`${t('depends.accept')}: ${s.child} – ${s.parent}`} onClick={() => void judge(s, true)}>{t('depends.accept')}</button>
                          <Sure text={t('depends.dismiss')} what={t('depends.dismissSure')} label={`${t('depends.dismiss')}: ${s.child} – ${s.parent}`} onSure={() => judge(s, false)} />
                        </div>
                      )}
                    </li>
                  ))}
                </ul>
              </section>
            )}
            {dependencies.length > 0 && (
              <section class="block">
                <h2>{t('depends.all')}</h2>
                <ul class="list">
                  {dependencies.map((d, i) => (
                    <li class="item" key={d.id ?? `file ${i}`}>
                      <div class="item-main">
                        <p>
                          <End text={d.child} /> <span class="muted">{t('depends.on')}</span>{' '}
                          {d.parents.map((p, at) => (
                            <span key={p}>
                              {at > 0 && <span class="muted"> {t('depends.or')} </span>}
                              <End text={p} />
                            </span>
                          ))}
                        </p>
                        <p class="muted num">{[t(`depends.source.${d.source}`), d.author, d.created_at === null ? '' : moment(d.created_at), d.why].filter(Boolean).join(' · ')}</p>
                      </div>
                      {d.id !== null && mayOperate.value && <Sure text={t('depends.remove')} what={t('depends.removeSure')} label={`${t('depends.remove')}: ${d.child}`} onSure={() => forget(d)} />}
                    </li>
                  ))}
                </ul>
              </section>
            )}
            {inhibitions.length > 0 && (
              <section class="block">
                <h2>{t('depends.inhibitions')}</h2>
                <ul class="list">
                  {inhibitions.map((one, i) => (
                    <li class="item" key={i}>
                      <p class="matchers"><code>{String(one.source)}</code> <span class="muted">{t('depends.quiets')}</span> <code>{String(one.target)}</code></p>
                    </li>
                  ))}
                </ul>
              </section>
            )}
          </>
        )}
      </Show>
      {(learned.data?.groups.length ?? 0) > 0 && (
        <section class="block">
          <h2>{t('depends.together')}</h2>
          <p class="muted">{t('depends.togetherLead')}</p>
          <ul class="list">
            {learned.data!.groups.map((g, i) => <li class="item" key={i}><p>{g.hosts.join(', ')}</p></li>)}
          </ul>
        </section>
      )}
      {making.value && <New onClose={() => (making.value = false)} onMade={() => void changed()} />}
    </Page>
  )
}

/** A host leads to its page; matchers stay as they are. */
function End({ text }: { text: string }): JSX.Element {
  return /[="]/.test(text) ? <code>{text}</code> : <a class="link" href={`/host/${encodeURIComponent(text)}`}>{text}</a>
}

function New({ onClose, onMade }: { onClose: () => void; onMade: () => void }): JSX.Element {
  const form = useForm()
  const id = useId()
  const child = useSignal('')
  const parents = useSignal('')
  const why = useSignal('')
  useEffect(() => {
    if (hosts.peek() === null) void loadHosts().catch(() => undefined)
  }, [])
  const send = async (): Promise<void> => {
    await post('/dependencies', { child: child.value.trim(), parents: parents.value.split('\n').map((l) => l.trim()).filter(Boolean), why: why.value.trim() })
    tell(t('depends.kept'))
    onMade()
    onClose()
  }
  return (
    <Dialog label={t('depends.new')} onClose={onClose}>
      <FormBox form={form} onSend={send}>
        <h3>{t('depends.new')}</h3>
        <Field form={form} name="child" label={t('depends.child')} hint={t('depends.endHint')}>
          {(c) => (
            <>
              <input class="input" {...c} required autoFocus list={`${id}-hosts`} spellcheck={false} value={child.value} onInput={(e) => (child.value = e.currentTarget.value)} />
              <datalist id={`${id}-hosts`}>{(hosts.value ?? []).map((h) => <option key={h.name} value={h.name} />)}</datalist>
            </>
          )}
        </Field>
        <Field form={form} name="parents" label={t('depends.parents')} hint={t('depends.parentsHint')}>
          {(c) => <textarea class="input" {...c} required rows={2} spellcheck={false} value={parents.value} onInput={(e) => (parents.value = e.currentTarget.value)} />}
        </Field>
        <Field form={form} name="why" label={t('silence.why')}>
          {(c) => <input class="input" {...c} maxLength={1000} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />}
        </Field>
        <Foot form={form} save={t('save')} onClose={onClose} />
      </FormBox>
    </Dialog>
  )
}
