/** Sign in, and change the password that was made for you. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { ApiError } from '../api/client'
import { t } from '../i18n'
import { Tower } from '../shell/icons'
import { reason } from '../shell/notice'
import { NextLanguage } from '../shell/Shell'
import { changePassword, signIn, signOut, user } from '../state/session'

export function SignIn(): JSX.Element {
  const who = user.value
  useEffect(() => {
    document.title = `${t('signin.title')} · ${t('brand')}`
  })
  return (
    <main class="signin">
      <div class="signin-box">
        <p class="signin-brand">
          <Tower size={22} />
          <span>{t('brand')}</span>
        </p>
        {who?.must_change_password ? <NewPassword name={who.name} /> : <Enter />}
      </div>
      <p class="signin-foot">
        <NextLanguage />
      </p>
    </main>
  )
}

function Enter(): JSX.Element {
  const name = useSignal('')
  const password = useSignal('')
  const wrong = useSignal('')
  const busy = useSignal(false)
  const send = async (e: Event): Promise<void> => {
    e.preventDefault()
    busy.value = true
    wrong.value = ''
    try {
      await signIn(name.value.trim(), password.value)
    } catch (error) {
      wrong.value = error instanceof ApiError && error.status === 401 ? t('signin.wrong') : reason(error)
      password.value = ''
    } finally {
      busy.value = false
    }
  }
  return (
    <form onSubmit={send}>
      <h1>{t('signin.title')}</h1>
      <label class="field">
        <span>{t('signin.name')}</span>
        <input class="input" name="name" autoComplete="username" autoCapitalize="none" spellcheck={false} autoFocus required value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
      </label>
      <label class="field">
        <span>{t('signin.password')}</span>
        <input class="input" name="password" type="password" autoComplete="current-password" required value={password.value} onInput={(e) => (password.value = e.currentTarget.value)} />
      </label>
      <p class="wrong" role="alert">{wrong.value}</p>
      <button class="btn strong wide" disabled={busy.value}>{t('signin.enter')}</button>
      <p class="muted signin-hint">{t('signin.first')}</p>
    </form>
  )
}

function NewPassword({ name }: { name: string }): JSX.Element {
  const old = useSignal('')
  const first = useSignal('')
  const again = useSignal('')
  const wrong = useSignal('')
  const busy = useSignal(false)
  const send = async (e: Event): Promise<void> => {
    e.preventDefault()
    if (first.value !== again.value) {
      wrong.value = t('signin.differ')
      return
    }
    busy.value = true
    wrong.value = ''
    try {
      await changePassword(old.value, first.value)
    } catch (error) {
      wrong.value = reason(error)
    } finally {
      busy.value = false
    }
  }
  return (
    <form onSubmit={send}>
      <h1>{t('signin.change')}</h1>
      <p class="muted">{t('signin.changeWhy')}</p>
      <input class="hidden" name="username" autoComplete="username" value={name} readOnly tabIndex={-1} aria-hidden="true" />
      <label class="field">
        <span>{t('signin.old')}</span>
        <input class="input" name="old" type="password" autoComplete="current-password" autoFocus required value={old.value} onInput={(e) => (old.value = e.currentTarget.value)} />
      </label>
      <label class="field">
        <span>{t('signin.new')}</span>
        <input class="input" name="new" type="password" autoComplete="new-password" required value={first.value} onInput={(e) => (first.value = e.currentTarget.value)} />
      </label>
      <label class="field">
        <span>{t('signin.again')}</span>
        <input class="input" name="again" type="password" autoComplete="new-password" required value={again.value} onInput={(e) => (again.value = e.currentTarget.value)} />
      </label>
      <p class="wrong" role="alert">{wrong.value}</p>
      <button class="btn strong wide" disabled={busy.value}>{t('signin.set')}</button>
      <button type="button" class="btn quiet wide" onClick={() => void signOut()}>{t('session.out')}</button>
    </form>
  )
}
