/** Which hosts: matchers, the labels that there are to choose from, and whom that means now. */
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { t } from '../i18n'
import { hosts, loadHosts } from '../state/fleet'
import { Field, type Form } from './form'
import { fits, parseMatchers, toggleMatcher } from './selector'

const NAMES_SHOWN = 5
const LABELS_SHOWN = 3
const VALUES_SHOWN = 12

interface Props {
  form: Form
  name: string
  label: string
  text: string
  onText: (text: string) => void
  /** Whether hosts to which nobody gave a label are meant, too. */
  unlabelled?: boolean
  /** Whether nothing written means all. */
  all: string
}

export function SelectorField({ form, name, label, text, onText, unlabelled = false, all }: Props): JSX.Element {
  useEffect(() => {
    if (hosts.peek() === null) void loadHosts().catch(() => undefined)
  }, [])
  const matchers = parseMatchers(text)
  const known = hosts.value ?? []
  const named = matchers?.some((m) => m.name === 'instance' && (m.op === '=' || m.op === '=~')) ?? false
  const meant = matchers === null ? null : known.filter((h) => fits(matchers, h.name, h.labels) && (unlabelled || named || Object.keys(h.labels).length > 0))
  const unsure = matchers?.some((m) => fits([m], '', {}) === null) ?? false
  const values = new Map<string, Set<string>>()
  for (const host of known) for (const [key, value] of Object.entries(host.labels)) values.set(key, (values.get(key) ?? new Set()).add(value))
  const chosen = new Set((matchers ?? []).filter((m) => m.op === '=').map((m) => `${m.name}=${m.value}`))
  const preview =
    meant === null || unsure
      ? t('selector.unread')
      : [
          text.trim() === '' ? all : '',
          hosts.value === null ? '' : t('selector.fits', { n: meant.length }),
          meant.slice(0, NAMES_SHOWN).map((h) => h.name).join(', ') + (meant.length > NAMES_SHOWN ? ` ${t('chart.more', { n: meant.length - NAMES_SHOWN })}` : ''),
        ].filter(Boolean).join(' · ')
  return (
    <Field form={form} name={name} label={label} hint={<span aria-live="polite">{preview}</span>}>
      {(control) => (
        <>
          <input class="input mono" {...control} spellcheck={false} autoComplete="off" placeholder={'role="db", site!="lviv"'} value={text} onInput={(e) => onText(e.currentTarget.value)} />
          {values.size > 0 && matchers !== null && (
            <div class="label-picks">
              {[...values].slice(0, LABELS_SHOWN).map(([key, found]) => (
                <div class="seg" role="group" aria-label={key} key={key}>
                  <span class="muted">{key}</span>
                  {[...found].sort().slice(0, VALUES_SHOWN).map((value) => (
                    <button
                      type="button"
                      key={value}
                      aria-pressed={chosen.has(`${key}=${value}`)}
                      onClick={() => {
                        form.clear(name)
                        onText(toggleMatcher(text, key, value))
                      }}
                    >
                      {value}
                    </button>
                  ))}
                </div>
              ))}
            </div>
          )}
        </>
      )}
    </Field>
  )
}
