/** Published artifacts: what runs where, and what is not offered again. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post } from '../api/client'
import type { QuarantinesView, QuarantineView, ReleasesView } from '../api/schema'
import { moment, number, t, unit } from '../i18n'
import { Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { Dialog } from '../shell/Dialog'
import { Mark } from '../shell/Mark'
import { reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { mayAdminister, mayOperate } from '../state/session'
import { ChangeSections } from './Changes'
import '../styles/pages.css'
import '../styles/change.css'

const EVERY_MS = 10_000
const KINDS = ['', 'agent', 'config', 'script', 'rules']

export default function Releases(): JSX.Element {
  const kind = useSignal('')
  const releases = useAsked<ReleasesView>(`/releases${kind.value ? `?kind=${kind.value}` : ''}`, EVERY_MS)
  const quarantine = useAsked<QuarantinesView>('/quarantine', EVERY_MS)
  const lifting = useSignal<QuarantineView | null>(null)
  const held = quarantine.data?.quarantine.filter((q) => q.lifted_at === null) ?? []
  useTitle(t('page.releases'))
  return (
    <Page trail={[{ text: t('page.changes'), href: '/changes' }, { text: t('page.releases') }]}>
      <ChangeSections here="releases" />
      <Show of={releases}>
        {({ releases: list }) => (
          <>
            <Verdict title={held.length > 0 ? t('releases.quarantined', { n: held.length }) : list.length === 0 ? t('releases.none') : t('releases.title', { n: list.length })} lead={t('releases.lead')} />
            {held.length > 0 && (
              <section class="block">
                <h2>{t('releases.quarantine')}</h2>
                <ul class="list">
                  {held.map((q) => (
                    <li class="item" key={`${q.sha256} ${q.host}`}>
                      <Mark of="warning" size={14} />
                      <div class="item-main">
                        <p>
                          <b>{q.target || q.sha256.slice(0, 16)}</b> <span class="muted">{q.everywhere ? t('releases.everywhere') : q.host}</span>
                        </p>
                        <p class="muted num">{[q.reason, q.detail, q.at === null ? '' : moment(q.at)].filter(Boolean).join(' · ')}</p>
                      </div>
                      {mayAdminister.value && <button class="btn" onClick={() => (lifting.value = q)}>{t('releases.lift')}</button>}
                    </li>
                  ))}
                </ul>
              </section>
            )}
            <div class="seg" role="group" aria-label={t('releases.kind')}>
              {KINDS.map((k) => (
                <button key={k} aria-pressed={kind.value === k} onClick={() => (kind.value = k)}>{k ? t(`change.kind.${k}`) : t('releases.all')}</button>
              ))}
            </div>
            <ul class="list">
              {list.map((r) => (
                <li class="item" key={r.id}>
                  <div class="item-main">
                    <p>
                      <b>{r.name}</b> {r.version} <span class="muted">{t(`change.kind.${r.kind}`)}</span>
                      {r.quarantined && <span class="warning-text"> · {t('releases.held')}</span>}
                    </p>
                    <p class="muted num">{[r.published_at === null ? '' : moment(r.published_at), r.published_by, unit(number(r.length / 1e6, 2), 'MB'), r.sha256.slice(0, 12)].filter(Boolean).join(' · ')}</p>
                  </div>
                  <div class="item-side">
                    <p class="num">{t('incident.hosts', { n: r.hosts_count })}</p>
                    {mayOperate.value && !r.quarantined && <a class="link" href={`/draft/new?kind=${r.kind}&target=${encodeURIComponent(r.target)}`} aria-label={t('draft.deliverOf', { name: `${r.name} ${r.version}` })}>{t('draft.deliver')}</a>}
                  </div>
                </li>
              ))}
            </ul>
          </>
        )}
      </Show>
      {lifting.value && <Lift one={lifting.value} onClose={() => (lifting.value = null)} onDone={() => void quarantine.load()} />}
    </Page>
  )
}

function Lift({ one, onClose, onDone }: { one: QuarantineView; onClose: () => void; onDone: () => void }): JSX.Element {
  const why = useSignal('')
  const wrong = useSignal('')
  return (
    <Dialog label={t('releases.lift')} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          post(`/quarantine/${one.sha256}/lift`, { why: why.value.trim(), host: one.everywhere ? '' : one.host }).then(
            () => {
              tell(t('releases.lifted'))
              onDone()
              onClose()
            },
            (error: unknown) => (wrong.value = reason(error)),
          )
        }}
      >
        <h3>{t('releases.lift')}</h3>
        <p>{t('releases.liftWhat', { target: one.target })}</p>
        <label class="field">
          <span>{t('run.why')}</span>
          <input class="input" required autoFocus value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />
        </label>
        {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong">{t('releases.lift')}</button>
        </div>
      </form>
    </Dialog>
  )
}
