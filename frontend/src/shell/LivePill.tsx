/** Says whether what one sees is now: live, paused, or how old. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { heard, link } from '../api/live'
import { duration, t } from '../i18n'
import { Icon } from './icons'

/** Data that is older than this is not "live". */
const STALE_MS = 3500

/** Seconds since data last came when that is too long ago, else 0; looked at twice a second. */
export function useSilence(streams: boolean): number {
  const age = useSignal(0)
  useEffect(() => {
    const look = (): void => {
      const since = heard.value > 0 ? performance.now() - heard.value : 0
      const late = link.value === 'lost' || (streams && since > STALE_MS)
      age.value = late ? Math.max(1, Math.round(since / 1000)) : 0
    }
    look()
    const timer = setInterval(look, 500)
    return () => clearInterval(timer)
  }, [streams])
  return age.value
}

interface Props {
  /** This page gets data each second, so silence means trouble. */
  streams?: boolean
  /** Seconds of data that wait while paused; absent when not paused. */
  waiting?: number | null
  onPause?: () => void
  children?: ComponentChildren
}

export function LivePill({ streams = false, waiting = null, onPause, children }: Props): JSX.Element {
  const silence = useSilence(streams)
  const paused = waiting !== null
  const text = paused
    ? t('live.paused', { time: duration(waiting) })
    : silence > 0
      ? heard.value > 0
        ? t('live.last', { time: duration(silence) })
        : t('live.lost')
      : link.value === 'connecting'
        ? t('live.connecting')
        : t('live.live')
  const kind = paused ? 'paused' : silence > 0 ? 'lost' : 'on'
  return (
    <div class={`pill ${kind}`}>
      {onPause ? (
        <button class="pill-main num" onClick={onPause} title={paused ? t('live.resume') : t('live.pause')} aria-pressed={paused}>
          {paused ? <Icon name="pause" size={12} /> : <i class="pill-dot" />}
          <span>{text}</span>
        </button>
      ) : (
        <span class="pill-main num">
          <i class="pill-dot" />
          <span>{text}</span>
        </span>
      )}
      {children}
    </div>
  )
}
