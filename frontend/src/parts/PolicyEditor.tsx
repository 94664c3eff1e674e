/** What holds for all waves of a change: how many at once, who must say yes, how long it is watched. */
import type { JSX } from 'preact'
import { t } from '../i18n'
import type { PolicyRow } from './draft'
import { Fault, Field, Tick, type Form } from './form'

export function PolicyEditor({ form, row, script, onRow }: { form: Form; row: PolicyRow; script: boolean; onRow: (row: PolicyRow) => void }): JSX.Element {
  const put = (part: Partial<PolicyRow>): void => onRow({ ...row, ...part })
  return (
    <details class="form-part policy-edit">
      <summary>
        <h2>{t('draft.policy')}</h2>
        <span class="muted">{t('draft.policyLead')}</span>
      </summary>
      <div class="row-fields">
        <Field form={form} name="policy.max_in_flight" label={t('policy.inFlight')} hint={t('policy.usual')}>
          {(c) => <input class="input num" {...c} type="number" min={1} value={row.inFlight} onInput={(e) => put({ inFlight: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name="policy.max_unavailable" label={t('policy.unavailable')} hint={t('policy.unavailableHint')}>
          {(c) => <input class="input num" {...c} pattern="\s*[0-9.]+\s*%?\s*" title={t('policy.unavailableHint')} value={row.unavailable} onInput={(e) => put({ unavailable: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name="policy.one_per" label={t('policy.onePer')} hint={t('policy.onePerHint')}>
          {(c) => <input class="input mono" {...c} spellcheck={false} placeholder="zone" value={row.onePer} onInput={(e) => put({ onePer: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name="policy.jitter_s" label={t('policy.jitter')}>
          {(c) => <input class="input num" {...c} type="number" min={0} step="any" value={row.jitter} onInput={(e) => put({ jitter: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name="policy.watch_s" label={t('policy.watch')}>
          {(c) => <input class="input num" {...c} type="number" min={0} max={3600} step="any" value={row.watch} onInput={(e) => put({ watch: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name="policy.approvals.count" label={t('policy.approvals')}>
          {(c) => <input class="input num" {...c} type="number" min={0} max={10} value={row.approvals} onInput={(e) => put({ approvals: e.currentTarget.value })} />}
        </Field>
        <Field form={form} name="policy.approvals.role" label={t('policy.approver')}>
          {(c) => (
            <select class="input" {...c} value={row.approver} onChange={(e) => put({ approver: e.currentTarget.value })}>
              {['operator', 'admin'].map((r) => <option key={r} value={r}>{t(`role.${r}`)}</option>)}
            </select>
          )}
        </Field>
      </div>
      <div class="ticks">
        <Tick on={row.pace} onTick={(pace) => put({ pace })}>{t('policy.pace')}</Tick>
        <Tick on={row.late} onTick={(late) => put({ late })}>{t('policy.late')}</Tick>
        {script && <Tick on={row.dryRun} onTick={(dryRun) => put({ dryRun })}>{t('policy.dryRun')}</Tick>}
      </div>
      <Fault form={form} name="policy" />
    </details>
  )
}
