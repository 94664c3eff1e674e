/** Hosts of a wave by how far they are: done is dark, under way blue, failed amber, the rest light. */
import type { JSX } from 'preact'
import { t } from '../i18n'

const ORDER: [string, string[]][] = [
  ['done', ['proven']],
  ['going', ['offered', 'downloaded', 'staged', 'started', 'reverting']],
  ['bad', ['failed', 'reverted', 'refused']],
  ['rest', ['waiting']],
  ['skipped', ['skipped']],
]

export function shares(counts: Record<string, number>): [string, number][] {
  return ORDER.map(([name, states]): [string, number] => [name, states.reduce((sum, s) => sum + (counts[s] ?? 0), 0)]).filter(([, n]) => n > 0)
}

export function WaveBar({ counts, wide = false }: { counts: Record<string, number>; wide?: boolean }): JSX.Element {
  const parts = shares(counts)
  const words = parts.map(([name, n]) => `${t(`wave.${name}`)} ${n}`).join(', ')
  return (
    <span class={`wave-bar ${wide ? 'wide' : ''}`} role="img" aria-label={words} title={words}>
      {parts.map(([name, n]) => (
        <i key={name} class={name} ref={(el) => el?.style.setProperty('flex-grow', String(n))} />
      ))}
    </span>
  )
}
