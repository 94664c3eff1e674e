/** Which page an address means, and the addresses of things. Pure. */

export type PageName = 'fleet' | 'host' | 'incidents' | 'incident' | 'silences' | 'rules' | 'explore' | 'settings' | 'access' | 'missing'

export interface Route {
  page: PageName
  /** The host's name, the incident's id or the section. */
  what: string
}

/** What page a path means. */
export function parse(path: string): Route {
  const [, head = '', ...rest] = path.split('/')
  const what = decodeURIComponent(rest.join('/'))
  switch (head) {
    case '':
    case 'fleet':
    case 'sign-in':
      return { page: 'fleet', what: '' }
    case 'host':
    case 'incident':
      return what === '' ? { page: 'missing', what: path } : { page: head, what }
    case 'incidents':
    case 'silences':
    case 'rules':
    case 'explore':
      return { page: head, what: '' }
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

export const hostPath = (name: string): string => `/host/${encodeURIComponent(name)}`
export const incidentPath = (id: string | number): string => `/incident/${encodeURIComponent(id)}`
