/** `/watch/{name}`: begins to watch a scenario in this tab; a wall's bookmark. */
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { ScenarioDetailView } from '../api/schema'
import { post } from '../api/client'
import { t } from '../i18n'
import { Show, useAsked } from '../parts/asked'
import { Page, Shell } from '../shell/Shell'
import { go } from '../state/route'
import { mayOperate } from '../state/session'
import { setWalk } from '../state/walk'
import '../styles/pages.css'

export default function Watch({ what: name }: { what: string }): JSX.Element {
  const path = `/scenarios/${encodeURIComponent(name)}`
  const asked = useAsked<ScenarioDetailView>(path)
  const found = asked.data
  useEffect(() => {
    if (!found) return
    // A viewer may watch; only who may run rounds can have it counted.
    if (mayOperate.peek()) void post(`${path}/rounds`, { kind: 'watch' }).catch(() => undefined)
    setWalk({ kind: 'watch', name, round: 0, at: 0 })
    go(found.walk[0].at, true)
  }, [found])
  return (
    <Shell>
      <Page trail={[{ text: t('page.scenarios'), href: '/scenarios' }, { text: name }]}>
        <Show of={asked} missing={t('scenario.missing')}>{() => null}</Show>
      </Page>
    </Shell>
  )
}
