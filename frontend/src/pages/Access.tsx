/** Who may, and who did: people, tokens, audit. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, patch, post, remove } from '../api/client'
import type { AuditRow, Person, PersonChanged, Role, Token, TokenMade } from '../api/types'
import { clock, day, known, moment, t } from '../i18n'
import { CopyBox } from '../parts/AddHost'
import { Sections } from '../parts/Sections'
import { Dialog } from '../shell/Dialog'
import { Icon } from '../shell/icons'
import { complain, reason, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { mayAdminister, seeAs, user } from '../state/session'
import '../styles/pages.css'

const ROLES: Role[] = ['viewer', 'operator', 'admin']

export default function Access({ what }: { what: string }): JSX.Element {
  useEffect(() => {
    document.title = `${t('page.access')} · ${t('brand')}`
  })
  const sections = [
    { id: 'people', text: t('access.people'), href: '/access' },
    { id: 'tokens', text: t('access.tokens'), href: '/access/tokens' },
    { id: 'audit', text: t('access.audit'), href: '/audit' },
  ]
  const here = sections.find((s) => s.id === what) ?? sections[0]
  return (
    <Page trail={[{ text: t('page.access'), href: '/access' }, { text: here.text }]}>
      <Sections list={sections} here={here.id} />
      {!mayAdminister.value ? (
        <div class="narrow">
          <h1>{t('access.admins')}</h1>
          <p class="lead">{t('access.yours', { role: t(`role.${user.value?.role ?? 'viewer'}`) })}</p>
          <RoleList />
        </div>
      ) : here.id === 'people' ? (
        <People />
      ) : here.id === 'tokens' ? (
        <Tokens />
      ) : (
        <Audit />
      )}
    </Page>
  )
}

function RoleList(): JSX.Element {
  return (
    <ul class="roles">
      {ROLES.map((role) => (
        <li key={role}>
          <b>{t(`role.${role}`)}</b> <span class="muted">{t(`role.${role}.may`)}</span>
        </li>
      ))}
    </ul>
  )
}

function Secret({ title, lead, text, onClose }: { title: string; lead: string; text: string; onClose: () => void }): JSX.Element {
  return (
    <Dialog label={title} onClose={onClose}>
      <h3>{title}</h3>
      <p class="muted gap">{lead}</p>
      <CopyBox text={text} label={title} />
      <div class="dialog-foot">
        <button class="btn strong" onClick={onClose}>{t('close')}</button>
      </div>
    </Dialog>
  )
}

function RoleSelect({ value, onChange, label }: { value: Role; onChange: (role: Role) => void; label: string }): JSX.Element {
  return (
    <select class="input" aria-label={label} value={value} onChange={(e) => onChange(e.currentTarget.value as Role)}>
      {ROLES.map((role) => (
        <option key={role} value={role}>{t(`role.${role}`)}</option>
      ))}
    </select>
  )
}

function People(): JSX.Element {
  const people = useSignal<Person[] | null>(null)
  const trouble = useSignal('')
  const secret = useSignal<{ name: string; text: string } | null>(null)
  const leaving = useSignal<string | null>(null)
  const name = useSignal('')
  const role = useSignal<Role>('viewer')
  const load = (): Promise<void> =>
    get<{ users: Person[] }>('/users').then(
      (found) => void (people.value = found.users),
      (error) => void (trouble.value = reason(error)),
    )
  useEffect(() => void load(), [])
  const after = (done: PersonChanged): void => {
    if (done.one_time_password) secret.value = { name: done.user.name, text: done.one_time_password }
    void load()
  }
  const change = (who: string, what: object): void => {
    patch<PersonChanged>(`/users/${encodeURIComponent(who)}`, what).then(after, (error) => {
      complain(error)
      void load()
    })
  }
  const add = (e: Event): void => {
    e.preventDefault()
    post<PersonChanged>('/users', { name: name.value.trim(), role: role.value }).then((done) => {
      name.value = ''
      trouble.value = ''
      after(done)
    }, (error) => (trouble.value = reason(error)))
  }
  return (
    <div class="narrow wide">
      <h1>{t('access.people')}</h1>
      <p class="lead">{t('access.peopleLead')}</p>
      <form class="inline-form" onSubmit={add}>
        <label class="field">
          <span>{t('access.name')}</span>
          <input class="input" required maxLength={63} autoComplete="off" value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
        </label>
        <div class="field">
          <span>{t('access.role')}</span>
          <RoleSelect value={role.value} onChange={(r) => (role.value = r)} label={t('access.role')} />
        </div>
        <button class="btn strong">{t('access.add')}</button>
      </form>
      <p class="wrong" role="alert">{trouble.value}</p>
      <div class="item see-as">
        <div class="item-main">
          <p>{t('eyes.title')}</p>
          <p class="muted">{t('eyes.lead')}</p>
        </div>
        <div class="item-acts">
          {(['viewer', 'operator'] as const).map((r) => (
            <button key={r} class="btn" aria-label={t('eyes.of', { name: t(`role.${r}`) })} onClick={() => seeAs({ role: r }).catch(complain)}>{t(`role.${r}`)}</button>
          ))}
        </div>
      </div>
      <ul class="list">
        {people.value?.map((p) => (
          <li class={`item ${p.disabled ? 'over' : ''}`} key={p.name}>
            <div class="item-main">
              <p>
                <b>{p.name}</b>
                {p.name === user.value?.name && <span class="muted"> · {t('access.you')}</span>}
                {p.disabled && <span class="muted"> · {t('access.disabled')}</span>}
              </p>
              <p class="muted num">
                {p.last_sign_in_at === null ? t('access.neverIn') : t('access.lastIn', { time: moment(p.last_sign_in_at) })}
                {p.must_change_password && ` · ${t('access.mustChange')}`}
              </p>
            </div>
            <div class="item-acts">
              <RoleSelect value={p.role} label={t('access.roleOf', { name: p.name })} onChange={(next) => change(p.name, { role: next })} />
              {!p.disabled && p.name !== user.value?.name && (
                <button class="btn" aria-label={t('eyes.of', { name: p.name })} onClick={() => seeAs({ person: p.name }).catch(complain)}>{t('eyes.title')}</button>
              )}
              <button class="btn" onClick={() => change(p.name, { reset_password: true })}>{t('access.reset')}</button>
              <button class="btn" onClick={() => change(p.name, { disabled: !p.disabled })}>{p.disabled ? t('access.enable') : t('access.disable')}</button>
              <button class="icon-btn" aria-label={t('access.removeOf', { name: p.name })} title={t('access.remove')} onClick={() => (leaving.value = p.name)}>
                <Icon name="close" size={14} />
              </button>
            </div>
          </li>
        ))}
      </ul>
      {secret.value && (
        <Secret title={t('access.oneTime', { name: secret.value.name })} lead={t('access.oneTimeLead')} text={secret.value.text} onClose={() => (secret.value = null)} />
      )}
      {leaving.value && (
        <Dialog label={t('access.remove')} onClose={() => (leaving.value = null)}>
          <h3>{t('access.removeTitle', { name: leaving.value })}</h3>
          <p class="muted gap">{t('access.removeWhat')}</p>
          <div class="dialog-foot">
            <button class="btn" onClick={() => (leaving.value = null)}>{t('cancel')}</button>
            <button
              class="btn danger"
              onClick={() => {
                const who = leaving.value!
                leaving.value = null
                remove(`/users/${encodeURIComponent(who)}`).then(load, complain)
              }}
            >
              {t('access.remove')}
            </button>
          </div>
        </Dialog>
      )}
    </div>
  )
}

function Tokens(): JSX.Element {
  const tokens = useSignal<Token[] | null>(null)
  const trouble = useSignal('')
  const made = useSignal<TokenMade | null>(null)
  const name = useSignal('')
  const role = useSignal<Role>('viewer')
  const load = (): Promise<void> =>
    get<{ tokens: Token[] }>('/tokens').then(
      (found) => void (tokens.value = found.tokens),
      (error) => void (trouble.value = reason(error)),
    )
  useEffect(() => void load(), [])
  const add = (e: Event): void => {
    e.preventDefault()
    post<TokenMade>('/tokens', { name: name.value.trim(), role: role.value }).then(
      (done) => {
        name.value = ''
        trouble.value = ''
        made.value = done
        void load()
      },
      (error) => (trouble.value = reason(error)),
    )
  }
  return (
    <div class="narrow wide">
      <h1>{t('access.tokens')}</h1>
      <p class="lead">{t('access.tokensLead')}</p>
      <form class="inline-form" onSubmit={add}>
        <label class="field">
          <span>{t('access.name')}</span>
          <input class="input" required maxLength={63} autoComplete="off" value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
        </label>
        <div class="field">
          <span>{t('access.role')}</span>
          <RoleSelect value={role.value} onChange={(r) => (role.value = r)} label={t('access.role')} />
        </div>
        <button class="btn strong">{t('access.makeToken')}</button>
      </form>
      <p class="wrong" role="alert">{trouble.value}</p>
      {tokens.value !== null && tokens.value.length === 0 && <p class="muted">{t('access.noTokens')}</p>}
      <ul class="list">
        {tokens.value?.map((token) => (
          <li class="item" key={token.id}>
            <div class="item-main">
              <p>
                <b>{token.name}</b> <span class="muted">{t(`role.${token.role}`)}</span>
              </p>
              <p class="muted num">
                {token.created_by}
                {token.created_at !== null && ` · ${moment(token.created_at)}`}
                {` · ${token.used_at === null ? t('access.neverUsed') : t('access.lastUsed', { time: moment(token.used_at) })}`}
              </p>
            </div>
            <button
              class="btn"
              onClick={() =>
                remove(`/tokens/${token.id}`).then(() => {
                  tell(t('access.revoked', { name: token.name }))
                  return load()
                }, complain)
              }
            >
              {t('access.revoke')}
            </button>
          </li>
        ))}
      </ul>
      {made.value && <Secret title={t('access.tokenMade', { name: made.value.name })} lead={t('access.tokenLead')} text={made.value.token} onClose={() => (made.value = null)} />}
    </div>
  )
}

const AUDIT_PAGE = 100

function Audit(): JSX.Element {
  const rows = useSignal<AuditRow[] | null>(null)
  const more = useSignal(false)
  const trouble = useSignal('')
  const load = (before: number): void => {
    get<{ audit: AuditRow[] }>(`/audit?limit=${AUDIT_PAGE}${before > 0 ? `&before=${before}` : ''}`).then(
      (found) => {
        rows.value = before > 0 ? [...(rows.peek() ?? []), ...found.audit] : found.audit
        more.value = found.audit.length === AUDIT_PAGE
      },
      (error) => (trouble.value = reason(error)),
    )
  }
  useEffect(() => load(0), [])
  const list = rows.value
  return (
    <div class="narrow wide">
      <h1>{t('access.audit')}</h1>
      <p class="lead">{t('access.auditLead')}</p>
      <p class="wrong" role="alert">{trouble.value}</p>
      {list !== null && list.length === 0 && <p class="muted">{t('access.noAudit')}</p>}
      {list !== null && list.length > 0 && (
        <div class="scroll-x" tabIndex={0} role="region" aria-label={t('access.audit')}>
          <table class="audit num">
            <thead>
              <tr>
                <th scope="col">{t('table.time')}</th>
                <th scope="col">{t('access.who')}</th>
                <th scope="col">{t('access.action')}</th>
                <th scope="col">{t('access.target')}</th>
                <th scope="col">{t('access.outcome')}</th>
                <th scope="col">{t('access.from')}</th>
              </tr>
            </thead>
            <tbody>
              {list.map((row) => (
                <tr key={row.id} class={row.outcome === 'done' || row.outcome === 'ok' ? '' : 'odd'}>
                  <td>{row.at === null ? '—' : `${day(row.at)}, ${clock(row.at, true)}`}</td>
                  <td>{row.actor}</td>
                  <td title={row.action}>{known(`act.${row.action}`) ? t(`act.${row.action}`) : <span class="mono">{row.action}</span>}</td>
                  <td>{row.target}</td>
                  <td>{known(`outcome.${row.outcome}`) ? t(`outcome.${row.outcome}`) : row.outcome}</td>
                  <td class="muted">{row.address}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {more.value && list !== null && (
        <button class="btn" onClick={() => load(list[list.length - 1].id)}>{t('access.older')}</button>
      )}
    </div>
  )
}
