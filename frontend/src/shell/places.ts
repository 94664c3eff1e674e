/** The pages that the rail, the tabs, the palette and the keys lead to. */
import type { Key } from '../i18n'
import type { PageName } from '../state/paths'
import type { IconName } from './icons'

export interface Place {
  href: string
  icon: IconName
  text: Key
  /** Pages on which this place is marked as the current one. */
  pages: PageName[]
  /** The letter after `g`. */
  key: string
  /** On a phone it stands below; the others are under "More". */
  tab?: boolean
}

/** Questions, in the order in which a shift asks them. */
export const MAIN: Place[] = [
  { href: '/fleet', icon: 'fleet', text: 'page.fleet', pages: ['fleet', 'host'], key: 'f', tab: true },
  { href: '/incidents', icon: 'incidents', text: 'page.incidents', pages: ['incidents', 'incident', 'dependencies'], key: 'i', tab: true },
  { href: '/changes', icon: 'changes', text: 'page.changes', pages: ['changes', 'change', 'draft', 'releases'], key: 'c', tab: true },
  { href: '/load', icon: 'load', text: 'page.load', pages: ['load'], key: 'l' },
  { href: '/checklists', icon: 'checklists', text: 'page.checklists', pages: ['checklists', 'checklist'], key: 'k', tab: true },
  { href: '/scenarios', icon: 'scenarios', text: 'page.scenarios', pages: ['scenarios', 'scenario', 'round'], key: 'w' },
  { href: '/diary', icon: 'diary', text: 'page.diary', pages: ['diary'], key: 'd' },
]
/** Where the work itself is set up. */
export const WORK: Place[] = [
  { href: '/oncall', icon: 'oncall', text: 'page.oncall', pages: ['oncall'], key: 'o' },
  { href: '/silences', icon: 'silences', text: 'page.silences', pages: ['silences'], key: 's' },
  { href: '/checks', icon: 'checks', text: 'page.checks', pages: ['checks'], key: 'x' },
  { href: '/rules', icon: 'rules', text: 'page.rules', pages: ['rules'], key: 'r' },
  { href: '/explore', icon: 'explore', text: 'page.explore', pages: ['explore'], key: 'e' },
]
export const FOOT: Place[] = [
  { href: '/access', icon: 'access', text: 'page.access', pages: ['access'], key: 'a' },
  { href: '/settings', icon: 'settings', text: 'page.settings', pages: ['settings'], key: ',' },
]
export const PLACES: Place[] = [...MAIN, ...WORK, ...FOOT]
