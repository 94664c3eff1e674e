/** An address that leads nowhere. */
import type { JSX } from 'preact'
import { t } from '../i18n'
import { Page } from '../shell/Shell'

export default function Missing(): JSX.Element {
  return (
    <Page trail={[{ text: t('missing.title') }]}>
      <div class="empty">
        <h1>{t('missing.title')}</h1>
        <p>
          <a class="link" href="/fleet">{t('missing.home')}</a>
        </p>
      </div>
    </Page>
  )
}
