/** The bar of a scenario that is being walked: what to look for here, how it stands, what next. On a
 * wall it turns by itself and stays where something is not as expected. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { get, post } from '../api/client'
import type { LooksView, LookView, RoundDetailView, ScenarioDetailView, ViewView } from '../api/schema'
import { t } from '../i18n'
import { mine } from '../parts/asked'
import { Evidence, LookMark, lookWords } from '../parts/looks'
import { roundPath, scenarioPath } from '../state/paths'
import { go } from '../state/route'
import { setWalk, turn, walk, type Walk } from '../state/walk'
import { Dialog } from './Dialog'
import { Icon } from './icons'
import { bind } from './keys'
import { complain } from './notice'
import '../styles/walk.css'

const LOOK_EVERY_MS = 10_000

interface Seen {
  title: string
  walk: ViewView[]
  looks: LookView[]
  watchS: number
}

async function look(now: Walk): Promise<Seen> {
  if (now.kind === 'run') {
    const found = await get<RoundDetailView>(`/rounds/${now.round}`)
    return { title: mine(found.title, found.title_uk), walk: found.walk, looks: found.looks, watchS: 0 }
  }
  const [found, { looks }] = await Promise.all([
    get<ScenarioDetailView>(`/scenarios/${encodeURIComponent(now.name)}`),
    get<LooksView>(`/scenarios/${encodeURIComponent(now.name)}/looks`),
  ])
  return { title: mine(found.title, found.title_uk), walk: found.walk, looks, watchS: found.watch_s }
}

export default function WalkBar(): JSX.Element | null {
  const seen = useSignal<Seen | null>(null)
  const odd = useSignal(false)
  const paused = useSignal(false)
  const now = walk.value
  const key = now ? `${now.kind} ${now.name} ${now.round}` : ''
  const load = async (): Promise<void> => {
    const asked = walk.peek()
    if (!asked) return
    try {
      seen.value = await look(asked)
    } catch (error) {
      // On a wall a server that is away for a moment is told by the live pill.
      if (seen.peek() === null) {
        complain(error)
        setWalk(null)
      }
    }
  }
  useEffect(() => {
    seen.value = null
    void load()
    const timer = setInterval(() => void load(), LOOK_EVERY_MS)
    return () => clearInterval(timer)
  }, [key])
  const to = (at: number): void => {
    const shown = seen.peek()
    const asked = walk.peek()
    if (!shown || !asked || !shown.walk[at]) return
    setWalk({ ...asked, at })
    go(shown.walk[at].at, asked.kind === 'watch')
  }
  const watching = now?.kind === 'watch'
  useEffect(() => {
    if (!watching) return undefined
    document.documentElement.dataset.watching = ''
    return () => void delete document.documentElement.dataset.watching
  }, [watching])
  const states = seen.value?.looks.map((l) => l.state) ?? []
  const at = now?.at ?? 0
  useEffect(() => {
    if (!watching || paused.value || states.length === 0) return undefined
    const timer = setTimeout(() => to(turn(states, at)), (seen.value?.watchS ?? 20) * 1000)
    return () => clearTimeout(timer)
  }, [watching, at, paused.value, states.join(), seen.value?.watchS])
  // What turns odd is shown at once.
  const first = states.findIndex((s) => s === 'odd' || s === 'unknown')
  useEffect(() => {
    if (watching && first >= 0 && states[at] !== 'odd' && states[at] !== 'unknown') to(first)
  }, [watching, first])
  useEffect(
    () =>
      bind({
        ']': () => to(at + 1),
        '[': () => to(at - 1),
        x: () => !watching && void say('expected', ''),
        ...(watching ? { Space: () => (paused.value = !paused.value) } : {}),
        Escape: () => leave(),
      }, true),
    [key, at, watching],
  )
  const leave = (): void => {
    const asked = walk.peek()
    setWalk(null)
    if (asked) go(asked.kind === 'run' ? roundPath(asked.round) : scenarioPath(asked.name))
  }
  const say = async (state: 'expected' | 'odd', text: string): Promise<void> => {
    const asked = walk.peek()
    const shown = seen.peek()
    if (!asked || !shown) return
    try {
      const found = await post<RoundDetailView>(`/rounds/${asked.round}/views/${asked.at}`, { state, text })
      seen.value = { ...shown, looks: found.looks }
      if (asked.at + 1 < shown.walk.length) to(asked.at + 1)
      else leave()
    } catch (error) {
      complain(error)
    }
  }
  const shown = seen.value
  const view = shown?.walk[at]
  if (!now || !shown || !view) return null
  const mark = shown.looks[at]
  const bad = mark.state === 'odd' || mark.state === 'unknown'
  return (
    <aside class={`walk ${bad ? 'bad' : ''}`} aria-label={t('walk.label', { title: shown.title })}>
      <ol class="walk-steps" aria-hidden="true">
        {shown.looks.map((l, i) => (
          <li key={i} class={`${l.state} ${i === at ? 'here' : ''}`} />
        ))}
      </ol>
      <div class="walk-what">
        <p class="muted num">{t('walk.step', { title: shown.title, at: at + 1, n: shown.walk.length })}</p>
        <p class="fact" aria-live="polite">
          <b>{mine(view.title, view.title_uk)}</b> {mine(view.look_for, view.look_for_uk)}
        </p>
        <p class="walk-look">
          <LookMark state={mark.state} /> <span>{lookWords(mark)}</span>
          {watching && bad && <b> · {t('walk.stopped')}</b>}
        </p>
        <Evidence look={mark} />
      </div>
      <div class="act-row flush">
        <button class="icon-btn" aria-label={t('walk.back')} title={`${t('walk.back')} [`} disabled={at === 0} onClick={() => to(at - 1)}>
          <Icon name="back" />
        </button>
        {watching ? (
          <button class="btn" aria-pressed={paused.value} onClick={() => (paused.value = !paused.value)}>
            <Icon name={paused.value ? 'play' : 'pause'} size={14} />
            {paused.value ? t('walk.resume') : t('walk.pause')}
          </button>
        ) : (
          <>
            <button class="btn" onClick={() => (odd.value = true)}>{t('walk.odd')}</button>
            <button class="btn strong" onClick={() => void say('expected', '')}>
              {t('walk.expected')} <span class="key">X</span>
            </button>
          </>
        )}
        <button class="btn quiet" onClick={leave}>{watching ? t('walk.leave') : t('walk.list')}</button>
      </div>
      {odd.value && (
        <OddForm
          onClose={() => (odd.value = false)}
          onSay={(text) => {
            odd.value = false
            void say('odd', text)
          }}
        />
      )}
    </aside>
  )
}

export function OddForm({ onClose, onSay }: { onClose: () => void; onSay: (text: string) => void }): JSX.Element {
  const text = useSignal('')
  return (
    <Dialog label={t('walk.oddTitle')} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault()
          onSay(text.value.trim())
        }}
      >
        <h3>{t('walk.oddTitle')}</h3>
        <label class="field">
          <span>{t('walk.oddWhat')}</span>
          <textarea class="input" rows={3} required autoFocus maxLength={4000} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
        </label>
        <div class="dialog-foot">
          <button type="button" class="btn" onClick={onClose}>{t('cancel')}</button>
          <button class="btn strong">{t('save')}</button>
        </div>
      </form>
    </Dialog>
  )
}
