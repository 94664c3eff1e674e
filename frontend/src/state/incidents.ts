/** The incidents that are not resolved: the badge, the cards, the list. */
import { computed, signal } from '@preact/signals'
import { get, post } from '../api/client'
import type { Incident } from '../api/types'
import { language } from '../i18n'

export const incidents = signal<Incident[] | null>(null)

const SEVERITY = { critical: 0, warning: 1, info: 2 }

/** Waiting for someone first, then the worse, then the newer. */
export function order(list: Incident[]): Incident[] {
  return [...list].sort(
    (a, b) =>
      Number(a.state !== 'open') - Number(b.state !== 'open') ||
      (SEVERITY[a.severity] ?? 1) - (SEVERITY[b.severity] ?? 1) ||
      (b.began_at ?? 0) - (a.began_at ?? 0),
  )
}

/** What an incident says, in the reader's language where the server has it so. */
export const said = (one: Incident, what: 'title' | 'summary' | 'next'): string => (language() === 'uk' && one[`${what}_uk`]) || one[what]

export const unresolved = computed(() => order((incidents.value ?? []).filter((i) => i.state !== 'resolved')))
export const waiting = computed(() => unresolved.value.filter((i) => i.state === 'open'))

export async function loadIncidents(): Promise<void> {
  incidents.value = (await get<{ incidents: Incident[] }>('/incidents?state=open&limit=200')).incidents
}

export type Act = 'acknowledge' | 'resolve' | 'note'

export async function act(id: string | number, what: Act, text: string): Promise<void> {
  const body = what === 'note' ? { text } : text === '' ? {} : { note: text }
  await post(`/incidents/${encodeURIComponent(id)}/${what}`, body)
}
