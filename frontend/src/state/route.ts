/** Where the reader is. The URL is the state: Back always works. */
import { computed, signal } from '@preact/signals'
import { parse, type Route } from './paths'

const here = signal(new URL(location.href))

export const url = computed(() => here.value)
export const route = computed<Route>(() => parse(here.value.pathname))

export function go(path: string, replace = false): void {
  const next = new URL(path, location.href)
  if (next.href === here.value.href) return
  if (replace) history.replaceState(null, '', next)
  else {
    history.pushState(null, '', next)
    if (next.pathname !== here.value.pathname) scrollTo(0, 0)
  }
  here.value = next
}

/** Changes parts of the query; `null` removes one. */
export function query(changes: Record<string, string | null>, replace = true): void {
  const next = new URL(here.value)
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === '') next.searchParams.delete(name)
    else next.searchParams.set(name, value)
  }
  go(next.pathname + next.search + next.hash, replace)
}

/** Goes back if this tab has been somewhere, else up to `path`. */
export function back(path: string): void {
  if (history.length > 1 && document.referrer.startsWith(location.origin)) history.back()
  else go(path)
}

addEventListener('popstate', () => {
  here.value = new URL(location.href)
})

addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const anchor = (event.target as Element).closest?.('a')
  if (!anchor?.href || anchor.target || anchor.hasAttribute('download')) return
  const to = new URL(anchor.href)
  if (to.origin !== location.origin || to.pathname.startsWith('/api/')) return
  if (to.pathname === location.pathname && to.hash && to.search === location.search) return
  event.preventDefault()
  go(to.pathname + to.search + to.hash)
})
