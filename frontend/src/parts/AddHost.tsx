/** One command to copy, and a live line that says when the agent has come. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { post } from '../api/client'
import type { Invitation } from '../api/types'
import { duration, t } from '../i18n'
import { Icon } from '../shell/icons'
import { reason, tell } from '../shell/notice'
import { hosts, loadHosts } from '../state/fleet'
import { hostPath } from '../state/paths'
import { useNow } from './now'

export function CopyBox({ text, label }: { text: string; label: string }): JSX.Element {
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      tell(t('copied'))
    } catch {
      tell(t('link.notCopied'), true)
    }
  }
  return (
    <div class="copybox">
      <pre tabIndex={0} aria-label={label}>{text}</pre>
      <button class="btn" onClick={() => void copy()}>
        <Icon name="copy" size={14} />
        {t('copy')}
      </button>
    </div>
  )
}

export function AddHost({ auto = false }: { auto?: boolean }): JSX.Element {
  const made = useSignal<Invitation | null>(null)
  const before = useSignal<Set<string>>(new Set())
  const site = useSignal('')
  const role = useSignal('')
  const wrong = useSignal('')
  const busy = useSignal(false)
  const make = async (): Promise<void> => {
    busy.value = true
    wrong.value = ''
    const labels = Object.fromEntries(Object.entries({ site: site.value.trim(), role: role.value.trim() }).filter(([, v]) => v !== ''))
    try {
      if (hosts.peek() === null) await loadHosts()
      before.value = new Set((hosts.peek() ?? []).map((h) => h.name))
      made.value = await post<Invitation>('/enrolments', { labels })
    } catch (error) {
      wrong.value = reason(error)
    } finally {
      busy.value = false
    }
  }
  useEffect(() => {
    if (auto) void make()
  }, [])
  return (
    <div class="addhost">
      {!auto && (
        <form
          class="inline-form"
          onSubmit={(e) => {
            e.preventDefault()
            void make()
          }}
        >
          <label class="field">
            <span>{t('enrol.site')}</span>
            <input class="input" value={site.value} onInput={(e) => (site.value = e.currentTarget.value)} />
          </label>
          <label class="field">
            <span>{t('enrol.role')}</span>
            <input class="input" value={role.value} onInput={(e) => (role.value = e.currentTarget.value)} />
          </label>
          <button class="btn strong" disabled={busy.value}>{made.value ? t('enrol.another') : t('enrol.make')}</button>
        </form>
      )}
      {wrong.value && <p class="wrong" role="alert">{wrong.value}</p>}
      {made.value && (
        <div class="fade">
          <p class="step">{t('enrol.run')}</p>
          <CopyBox text={made.value.command} label={t('enrol.command')} />
          <Expiry at={made.value.expires_at} />
          <Arrival before={before.value} />
        </div>
      )}
    </div>
  )
}

function Expiry({ at }: { at: number | null }): JSX.Element | null {
  const now = useNow()
  if (at === null) return null
  return <p class="muted">{at > now ? t('enrol.expires', { time: duration(at - now) }) : t('enrol.expired')}</p>
}

const LOOK_EVERY_MS = 1500

function Arrival({ before }: { before: Set<string> }): JSX.Element {
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) void loadHosts().catch(() => undefined)
    }, LOOK_EVERY_MS)
    return () => clearInterval(timer)
  }, [])
  const fresh = (hosts.value ?? []).filter((h) => !before.has(h.name))
  return (
    <div class="arrival" role="status">
      {fresh.length === 0 ? (
        <>
          <i class="pulse" />
          <span>{before.size === 0 ? t('enrol.waitingFirst') : t('enrol.waiting')}</span>
        </>
      ) : (
        <>
          <Icon name="check" />
          <span>
            {t('enrol.arrived')}{' '}
            {fresh.map((h) => (
              <a key={h.name} class="link" href={hostPath(h.name)}>{h.name}</a>
            ))}
          </span>
        </>
      )}
    </div>
  )
}
