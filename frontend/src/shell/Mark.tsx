/** State as a shape: it is understood without its colour. The word always stands beside it. */
import type { JSX } from 'preact'
import type { Severity, State } from '../api/types'

export function Mark({ of, size = 16 }: { of: State | Severity; size?: number }): JSX.Element | null {
  switch (of) {
    case 'critical':
      return (
        <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" class="mk">
          <path d="M8 .8 15.200 8 8 15.200.8 8z" fill="var(--crit-fill)" stroke="var(--crit-fill)" stroke-linejoin="round" />
          <path d="M8 4.400v4.200M8 10.700v.9" stroke="#fff" stroke-width="1.8" />
        </svg>
      )
    case 'warning':
      return (
        <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" class="mk">
          <path d="M8 1.600 15 14.400H1z" fill="var(--warn-fill)" stroke="var(--warn-edge)" stroke-linejoin="round" />
          <path d="M8 6v4M8 11.600v1.300" stroke="#1d2229" stroke-width="1.600" />
        </svg>
      )
    case 'silent':
      return (
        <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" class="mk">
          <circle cx="8" cy="8" r="5.700" fill="none" stroke="var(--text2)" stroke-width="1.600" stroke-dasharray="2.400 2.080" />
        </svg>
      )
    case 'info':
    case 'unknown':
      return (
        <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" class="mk">
          <circle cx="8" cy="8" r="4.500" fill="none" stroke="var(--text3)" stroke-width="1.400" />
        </svg>
      )
    case 'normal':
      return (
        <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" class="mk">
          <circle cx="8" cy="8" r="2.500" fill="var(--text3)" />
        </svg>
      )
    default:
      return null
  }
}
