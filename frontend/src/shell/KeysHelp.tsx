/** `?`: every key, and the switch for the single letters. */
import type { JSX } from 'preact'
import { t, type Key } from '../i18n'
import { keysOn, setKeys } from '../state/prefs'
import { Dialog } from './Dialog'
import { Icon } from './icons'
import { overlay } from './overlays'
import { PLACES } from './places'

const GROUPS: { title: Key; keys: [string, Key][] }[] = [
  {
    title: 'keys.everywhere',
    keys: [
      ['Ctrl K', 'keys.palette'],
      ...PLACES.map((p): [string, Key] => [`g ${p.key}`, p.text]),
      ['y', 'keys.copyLink'],
      ['D', 'theme.switch'],
      ['Esc', 'keys.back'],
      ['?', 'keys.title'],
    ],
  },
  {
    title: 'page.fleet',
    keys: [
      ['/', 'keys.filter'],
      ['j k ↑ ↓', 'keys.move'],
      ['Enter', 'keys.open'],
      ['n', 'keys.problem'],
      ['1–6', 'keys.colour'],
    ],
  },
  {
    title: 'keys.host',
    keys: [
      ['Space', 'keys.pause'],
      ['.', 'keys.now'],
      ['+ −', 'keys.range'],
      ['[ ]', 'keys.neighbour'],
    ],
  },
  { title: 'keys.incident', keys: [['t', 'keys.take'], ['j k', 'keys.move']] },
]

export function KeysHelp(): JSX.Element {
  const close = (): void => {
    overlay.value = null
  }
  return (
    <Dialog label={t('keys.title')} onClose={close} kind="keys">
      <div class="dialog-head">
        <h3>{t('keys.title')}</h3>
        <button class="icon-btn" aria-label={t('close')} onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div class="keys-groups">
        {GROUPS.map((group) => (
          <section key={group.title}>
            <h2>{t(group.title)}</h2>
            <dl>
              {group.keys.map(([key, text]) => (
                <div key={key}>
                  <dt>
                    {key.split(' ').map((k) => (
                      <kbd key={k}>{k}</kbd>
                    ))}
                  </dt>
                  <dd>{t(text)}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label class="tick">
        <input type="checkbox" checked={keysOn.value} onChange={(e) => setKeys(e.currentTarget.checked)} />
        <span>{t('keys.single')}</span>
      </label>
    </Dialog>
  )
}
