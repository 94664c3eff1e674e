import type { JSX } from 'preact'
import { Page } from '../shell/Shell'
export default function Incident({ what }: { what: string }): JSX.Element {
  return <Page trail={[{ text: what }]}>{what}</Page>
}
