/** The sections of a page, as links. */
import type { JSX } from 'preact'
import { t } from '../i18n'

export function Sections({ list, here }: { list: { id: string; text: string; href: string }[]; here: string }): JSX.Element {
  return (
    <nav class="sections" aria-label={t('nav.sections')}>
      {list.map((s) => (
        <a key={s.id} href={s.href} aria-current={s.id === here ? 'page' : undefined}>
          {s.text}
        </a>
      ))}
    </nav>
  )
}
