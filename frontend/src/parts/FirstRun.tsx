/** The page of a Vezha that watches nothing yet. */
import type { JSX } from 'preact'
import { t } from '../i18n'
import { mayOperate } from '../state/session'
import { AddHost } from './AddHost'

export function FirstRun(): JSX.Element {
  return (
    <div class="firstrun">
      <h1>{t('first.title')}</h1>
      <p class="lead">{mayOperate.value ? t('first.lead') : t('first.ask')}</p>
      {mayOperate.value && <AddHost auto />}
    </div>
  )
}
