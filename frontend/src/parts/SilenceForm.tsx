/** Makes a silence: what, from when, until when, why. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post, serverNow } from '../api/client'
import type { Silence } from '../api/types'
import { moment, number, t, unit } from '../i18n'
import { Dialog } from '../shell/Dialog'
import { reason, tell } from '../shell/notice'
import { localTime } from './localtime'

const HOURS = [1, 4, 8, 24, 168]
const DAY_H = 24

interface Props {
  matchers: string
  onClose: () => void
  onMade: (made: Silence) => void
}

export function SilenceForm({ matchers, onClose, onMade }: Props): JSX.Element {
  const what = useSignal(matchers)
  const why = useSignal('')
  const hours = useSignal<number | null>(HOURS[1])
  const from = useSignal(localTime(serverNow()))
  const to = useSignal(localTime(serverNow() + HOURS[1] * 3600))
  const wrong = useSignal<unknown>(null)
  const busy = useSignal(false)

  const send = async (): Promise<void> => {
    busy.value = true
    const time =
      hours.value === null ? { starts_at: Date.parse(from.value) / 1000, ends_at: Date.parse(to.value) / 1000 } : { minutes: hours.value * 60 }
    try {
      const made = await post<Silence>('/silences', { matchers: what.value, comment: why.value.trim(), ...time })
      tell(t('silence.made', { time: made.ends_at === null ? '' : moment(made.ends_at) }))
      onMade(made)
      onClose()
    } catch (error) {
      wrong.value = error
      busy.value = false
    }
  }
  return (
    <Dialog label={t('silence.new')} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          void send()
        }}
      >
        <h3>{t('silence.new')}</h3>
        <p class="muted">{t('silence.what')}</p>
        <label class="field">
          <span>{t('silence.matchers')}</span>
          <textarea class="input mono" rows={3} required autoFocus={matchers === ''} spellcheck={false} placeholder={'alertname="DiskFull", instance=~"db-.*"'} value={what.value} onInput={(e) => (what.value = e.currentTarget.value)} />
        </label>
        <div class="field">
          <span id="silence-long">{t('silence.howLong')}</span>
          <div class="seg" role="group" aria-labelledby="silence-long">
            {HOURS.map((h) => (
              <button type="button" key={h} aria-pressed={hours.value === h} onClick={() => (hours.value = h)}>
                {h > DAY_H ? unit(number(h / DAY_H), 'd') : unit(number(h), 'h')}
              </button>
            ))}
            <button type="button" aria-pressed={hours.value === null} onClick={() => (hours.value = null)}>{t('silence.exact')}</button>
          </div>
        </div>
        {hours.value === null && (
          <div class="two-fields">
            <label class="field">
              <span>{t('range.from')}</span>
              <input class="input" type="datetime-local" required value={from.value} onInput={(e) => (from.value = e.currentTarget.value)} />
            </label>
            <label class="field">
              <span>{t('range.to')}</span>
              <input class="input" type="datetime-local" required value={to.value} onInput={(e) => (to.value = e.currentTarget.value)} />
            </label>
          </div>
        )}
        <label class="field">
          <span>{t('silence.why')}</span>
          <input class="input" required maxLength={500} autoFocus={matchers !== ''} value={why.value} onInput={(e) => (why.value = e.currentTarget.value)} />
        </label>
        {wrong.value !== null && <p class="wrong" role="alert">{reason(wrong.value)}</p>}
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong" disabled={busy.value}>{t('silence.begin')}</button>
        </div>
      </form>
    </Dialog>
  )
}
