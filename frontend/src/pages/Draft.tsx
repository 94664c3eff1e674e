/** A change as somebody writes it: what, why, for which hosts, in which waves, guarded by what. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { call } from '../api/client'
import type { ChangeDetailView, ChecklistsView, ReleasesView, ReleaseView } from '../api/schema'
import { moment, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { bodyOf, draftOf, newDraft, parametersOf, type Draft, type Parameter } from '../parts/draft'
import { Choice, Fault, Field, FormBox, Group, useForm, type Form } from '../parts/form'
import { GatesEditor } from '../parts/GatesEditor'
import { PolicyEditor } from '../parts/PolicyEditor'
import { ReportForm } from '../parts/ReportForm'
import { SelectorField } from '../parts/SelectorField'
import { WavesEditor } from '../parts/WavesEditor'
import { tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { changePath } from '../state/paths'
import { go, url } from '../state/route'
import { mayOperate, user } from '../state/session'
import '../styles/pages.css'
import '../styles/change.css'

const KINDS = ['config', 'agent', 'script', 'rules', 'external'] as const
const COMMANDS = 'vezha release build draft\nvezha release sign draft --keys ~/vezha-keys\nvezha release publish draft'
const RISKS = ['low', 'medium', 'high'] as const

export default function DraftPage({ what: id }: { what: string }): JSX.Element {
  const isNew = id === 'new'
  const title = isNew ? t('draft.new') : t('draft.edit', { id })
  useTitle(title)
  return (
    <Page trail={[{ text: t('page.changes'), href: '/changes' }, ...(isNew ? [] : [{ text: t('change.number', { id }), href: changePath(id) }]), { text: isNew ? title : t('draft.editShort') }]}>
      {!mayOperate.value ? (
        <div class="empty">
          <h1>{t('asked.forbidden')}</h1>
          <p>{t('asked.forbiddenWhat')}</p>
        </div>
      ) : isNew ? (
        <New />
      ) : (
        <Existing id={id} />
      )}
    </Page>
  )
}

function New(): JSX.Element {
  const asked = url.value.searchParams
  const kind = useSignal(asked.get('kind') ?? 'config')
  const target = asked.get('target') ?? ''
  return (
    <>
      <Verdict title={t('draft.new')} lead={t(`draft.lead.${kind.value}`)} />
      <div class="seg kind-pick" role="group" aria-label={t('draft.kind')}>
        {KINDS.map((k) => (
          <button key={k} type="button" aria-pressed={kind.value === k} onClick={() => (kind.value = k)}>{t(`draft.kind.${k}`)}</button>
        ))}
      </div>
      {kind.value === 'external' ? <ReportForm /> : <Writing key={kind.value} first={newDraft(kind.value, kind.value === asked.get('kind') ? target : '', user.value?.name ?? '')} id={null} />}
    </>
  )
}

function Existing({ id }: { id: string }): JSX.Element {
  const asked = useAsked<ChangeDetailView>(`/changes/${encodeURIComponent(id)}`)
  return (
    <Show of={asked} missing={t('change.missing')}>
      {(change) =>
        ['draft', 'planned'].includes(change.state) && change.kind !== 'external' ? (
          <>
            <Verdict title={t('draft.edit', { id })} lead={change.state === 'planned' ? t('draft.planGoes') : t('draft.editLead')} />
            <Writing first={draftOf(change)} id={change.id} />
          </>
        ) : (
          <Verdict title={t('draft.begun')} lead={<a class="link" href={changePath(id)}>{t('change.number', { id })}</a>} />
        )
      }
    </Show>
  )
}

function Writing({ first, id }: { first: Draft; id: number | null }): JSX.Element {
  const form = useForm()
  const draft = useSignal(first)
  const releases = useAsked<ReleasesView>(`/releases?kind=${first.kind}&limit=500`)
  const checklists = useAsked<ChecklistsView>('/checklists')
  const put = (part: Partial<Draft>): void => {
    draft.value = { ...draft.value, ...part }
  }
  const d = draft.value
  const list = releases.data?.releases ?? []
  const chosen = list.find((r) => r.target === d.target)
  const parameters = parametersOf(chosen)
  useEffect(() => {
    if (d.target === '' && list.length > 0) put({ target: (list.find((r) => !r.quarantined) ?? list[0]).target })
  }, [releases.data])

  const save = async (plan: boolean): Promise<void> => {
    const body = bodyOf(draft.peek(), parameters)
    const kept = await call<ChangeDetailView>(id === null ? 'POST' : 'PUT', id === null ? '/changes' : `/changes/${id}`, body)
    if (!plan) tell(t('draft.saved'))
    go(changePath(kept.id) + (plan ? '?plan=1' : ''))
  }
  if (releases.data !== null && list.length === 0) {
    return (
      <div class="empty">
        <h2>{t(`draft.nothing.${first.kind}`)}</h2>
        <p>{t('draft.nothingLead')}</p>
        <pre class="source mono" tabIndex={0}>{COMMANDS}</pre>
      </div>
    )
  }
  return (
    <FormBox form={form} class="draft" onSend={() => save(true)}>
      <Show of={releases}>
        {() => (
          <>
            <section class="form-part">
              <h2>{t('draft.what')}</h2>
              <Field form={form} name="target" label={t(`draft.target.${d.kind}`)} hint={chosen && <ReleaseFacts one={chosen} />}>
                {(c) => (
                  <select class="input" {...c} required value={d.target} onChange={(e) => put({ target: e.currentTarget.value, params: {} })}>
                    {!chosen && <option value={d.target}>{d.target}</option>}
                    {list.map((r) => (
                      <option key={r.id} value={r.target}>{[`${r.name} ${r.version}`, r.quarantined ? t('releases.held') : '', r.published_at === null ? '' : moment(r.published_at)].filter(Boolean).join(' · ')}</option>
                    ))}
                  </select>
                )}
              </Field>
              {parameters.map((p) => (
                <ParameterField key={p.name} form={form} one={p} value={d.params[p.name] ?? (p.default === undefined ? '' : String(p.default))} onValue={(value) => put({ params: { ...draft.peek().params, [p.name]: value } })} />
              ))}
              <Fault form={form} name="params" />
              <Field form={form} name="title" label={t('draft.title')} hint={t('draft.titleHint')}>
                {(c) => <input class="input" {...c} maxLength={200} placeholder={chosen ? `${chosen.name} ${chosen.version}` : ''} value={d.title} onInput={(e) => put({ title: e.currentTarget.value })} />}
              </Field>
              <Field form={form} name="why" label={t('draft.why')} hint={t('draft.whyHint')}>
                {(c) => <textarea class="input" {...c} rows={2} maxLength={2000} value={d.why} onInput={(e) => put({ why: e.currentTarget.value })} />}
              </Field>
              <div class="row-fields">
                <Field form={form} name="owner" label={t('draft.owner')}>
                  {(c) => <input class="input" {...c} maxLength={200} value={d.owner} onInput={(e) => put({ owner: e.currentTarget.value })} />}
                </Field>
                <Field form={form} name="checklist" label={t('draft.checklist')}>
                  {(c) => (
                    <select class="input" {...c} value={d.checklist} onChange={(e) => put({ checklist: e.currentTarget.value })}>
                      <option value="">{t('draft.noChecklist')}</option>
                      {d.checklist && !checklists.data?.checklists.some((one) => one.name === d.checklist) && <option value={d.checklist}>{d.checklist}</option>}
                      {checklists.data?.checklists.map((one) => <option key={one.name} value={one.name}>{mine(one.title, one.title_uk)}</option>)}
                    </select>
                  )}
                </Field>
                <Group form={form} name="risk" label={t('change.risk')}>
                  <Choice options={RISKS.map((r) => ({ id: r as string, text: t(`risk.${r}`) }))} value={d.risk} onPick={(risk) => put({ risk })} />
                </Group>
              </div>
              <details open={d.links !== ''}>
                <summary>{t('draft.links')}</summary>
                <Field form={form} name="links" label={t('draft.linksHint')}>
                  {(c) => <textarea class="input mono" {...c} rows={2} spellcheck={false} value={d.links} onInput={(e) => put({ links: e.currentTarget.value })} />}
                </Field>
              </details>
            </section>
            {d.kind === 'rules' ? (
              <p class="muted form-part">{t('draft.rulesWhere')}</p>
            ) : (
              <section class="form-part">
                <h2>{t('draft.where')}</h2>
                <SelectorField form={form} name="selector" label={t('change.selector')} text={d.selector} all={t('selector.allLabelled')} onText={(selector) => put({ selector })} />
              </section>
            )}
            {d.kind !== 'rules' && <WavesEditor form={form} rows={d.waves} onRows={(waves) => put({ waves })} />}
            <GatesEditor form={form} rows={d.gates} waves={d.waves} selector={d.selector} onRows={(gates) => put({ gates })} />
            <PolicyEditor form={form} row={d.policy} script={d.kind === 'script'} onRow={(policy) => put({ policy })} />
            <Fault form={form} />
            <div class="form-foot">
              <button class="btn strong" disabled={form.busy.value}>{t('draft.savePlan')}</button>
              <button type="button" class="btn" disabled={form.busy.value} onClick={() => void form.send(() => save(false))}>{t('draft.save')}</button>
              <a class="btn quiet" href={id === null ? '/changes' : changePath(id)}>{t('cancel')}</a>
              <span class="muted">{t('draft.nothingYet')}</span>
            </div>
          </>
        )}
      </Show>
    </FormBox>
  )
}

function ReleaseFacts({ one }: { one: ReleaseView }): JSX.Element {
  const needs = Object.entries((one.custom.requires as Record<string, unknown> | undefined) ?? {}).map(([k, v]) => `${k} ${Array.isArray(v) ? v.join(' / ') : String(v)}`)
  return (
    <span class="num">
      {[one.quarantined ? t('draft.quarantined') : '', typeof one.custom.about === 'string' ? one.custom.about : '', t('draft.signed', { hash: one.sha256.slice(0, 12), name: one.published_by }), t('draft.runOn', { n: one.hosts_count }), needs.length > 0 ? t('draft.needs', { what: needs.join(', ') }) : ''].filter(Boolean).join(' · ')}
    </span>
  )
}

function ParameterField({ form, one, value, onValue }: { form: Form; one: Parameter; value: string; onValue: (value: string) => void }): JSX.Element {
  const needed = one.default === undefined
  const hint = [one.about, needed ? '' : t('draft.default', { value: String(one.default) })].filter(Boolean).join(' · ')
  return (
    <Field form={form} name={`params.${one.name}`} label={one.name} hint={hint || undefined}>
      {(c) =>
        one.type === 'choice' || one.type === 'flag' ? (
          <select class="input" {...c} required={needed} value={value} onChange={(e) => onValue(e.currentTarget.value)}>
            {needed && <option value="" />}
            {(one.type === 'flag' ? ['true', 'false'] : one.choices!).map((o) => <option key={o} value={o}>{one.type === 'flag' ? t(o === 'true' ? 'yes' : 'no') : o}</option>)}
          </select>
        ) : one.type === 'whole' ? (
          <input class="input num" {...c} required={needed} type="number" min={one.low} max={one.high} value={value} onInput={(e) => onValue(e.currentTarget.value)} />
        ) : (
          <input class="input mono" {...c} required={needed} maxLength={one.chars_max} value={value} onInput={(e) => onValue(e.currentTarget.value)} />
        )
      }
    </Field>
  )
}
