/** Messages to this browser: asks the browser, tells the server, tries it, ends it. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { call, get, post, remove } from '../api/client'
import type { Contacts } from '../api/types'
import { t } from '../i18n'
import { complain, reason, tell } from '../shell/notice'
import { worker } from '../shell/worker'
import { contactName, keyBytes, madeWith } from './push'

const CONTACTS = '/people/me/contacts'

function able(): boolean {
  return 'serviceWorker' in navigator && 'PushManager' in window && 'Notification' in window && window.isSecureContext
}

export function PushHere(): JSX.Element {
  const known = useSignal<Contacts | null>(null)
  /** The contact's name while this browser is subscribed with the key in force. */
  const mine = useSignal('')
  const trouble = useSignal('')
  const busy = useSignal(false)
  const account = known.value?.push[0]
  const contact = known.value?.contacts.find((c) => c.name === mine.value)

  const load = async (): Promise<void> => {
    known.value = await get<Contacts>(CONTACTS)
    if (!able()) return
    const there = await (await navigator.serviceWorker.getRegistration())?.pushManager.getSubscription()
    const key = known.value.push[0]?.public_key
    mine.value = there && key && madeWith(there, key) ? await contactName(there.endpoint) : ''
  }
  useEffect(() => void load().catch((error) => (trouble.value = reason(error))), [])

  const during = (work: () => Promise<void>) => async (): Promise<void> => {
    busy.value = true
    trouble.value = ''
    try {
      await work()
    } catch (error) {
      complain(error)
    } finally {
      busy.value = false
    }
  }
  const turnOn = during(async () => {
    if (!account) return
    if ((await Notification.requestPermission()) !== 'granted') {
      trouble.value = t('push.denied')
      return
    }
    const { pushManager } = await worker()
    let made: PushSubscription
    try {
      const there = await pushManager.getSubscription()
      if (there && !madeWith(there, account.public_key)) await there.unsubscribe()
      made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: keyBytes(account.public_key) })
    } catch (error) {
      trouble.value = t('push.failed', { why: error instanceof Error ? error.message : String(error) })
      return
    }
    const name = await contactName(made.endpoint)
    await call('PUT', `${CONTACTS}/${name}`, { via: account.via, address: JSON.stringify(made) })
    await load()
  })
  const turnOff = during(async () => {
    const name = mine.value
    const there = await (await navigator.serviceWorker.getRegistration())?.pushManager.getSubscription()
    await there?.unsubscribe()
    await remove(`${CONTACTS}/${name}`)
    tell(t('push.turnedOff'))
    await load()
  })
  const test = during(async () => {
    await post(`${CONTACTS}/${mine.value}/test`)
    tell(t('push.tested'))
  })

  let state = t('push.lead')
  if (!able()) state = t('push.cannot')
  else if (known.value && !account) state = t('push.none')
  else if (contact) state = contact.problem ? t('push.problem', { why: contact.problem }) : t('push.isOn')
  return (
    <div class="item push">
      <div class="item-main">
        <p>{t('push.title')}</p>
        <p class="muted">{state}</p>
        {trouble.value && <p class="wrong" role="alert">{trouble.value}</p>}
      </div>
      {able() && account && (
        <div class="item-acts">
          {contact ? (
            <>
              <button class="btn" disabled={busy.value} onClick={() => void test()}>{t('push.test')}</button>
              <button class="btn" disabled={busy.value} onClick={() => void turnOff()}>{t('push.off')}</button>
            </>
          ) : (
            <button class="btn" disabled={busy.value} onClick={() => void turnOn()}>{t('push.on')}</button>
          )}
        </div>
      )}
    </div>
  )
}
