/** Which page an address means, and the addresses of things. Pure. */

const LISTS = ['fleet', 'incidents', 'changes', 'releases', 'load', 'checklists', 'scenarios', 'silences', 'checks', 'rules', 'oncall', 'explore', 'dependencies'] as const
const THINGS = ['host', 'incident', 'change', 'draft', 'checklist', 'scenario', 'round', 'watch'] as const

export type PageName = (typeof LISTS)[number] | (typeof THINGS)[number] | 'diary' | 'settings' | 'access' | 'missing'

export interface Route {
  page: PageName
  /** The host's name, the incident's id or the section. */
  what: string
}

const isOne = <T extends string>(list: readonly T[], word: string): word is T => (list as readonly string[]).includes(word)

/** What page a path means. */
export function parse(path: string): Route {
  const [, head = '', ...rest] = path.split('/')
  const what = decoded(rest.join('/'))
  if (head === '' || head === 'sign-in') return { page: 'fleet', what: '' }
  if (isOne(THINGS, head)) return what === '' ? { page: 'missing', what: path } : { page: head, what }
  if (isOne(LISTS, head)) return { page: head, what }
  switch (head) {
    case 'diary':
      return { page: 'diary', what }
    case 'settings':
      return { page: 'settings', what: what === '' ? 'hosts' : what }
    case 'access':
      return { page: 'access', what: what === '' ? 'people' : what }
    case 'audit':
      return { page: 'access', what: 'audit' }
    default:
      return { page: 'missing', what: path }
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const path = (head: string, id: string | number): string => `/${head}/${encodeURIComponent(id)}`
export const hostPath = (name: string): string => path('host', name)
export const incidentPath = (id: string | number): string => path('incident', id)
export const changePath = (id: string | number): string => path('change', id)
export const draftPath = (id: string | number): string => path('draft', id)
export const runPath = (id: string | number): string => path('checklist', id)
export const scenarioPath = (name: string): string => path('scenario', name)
export const roundPath = (id: string | number): string => path('round', id)
export const diaryPath = (week: string): string => path('diary', week.toLowerCase())
