/** Who is signed in. */
import { computed, signal } from '@preact/signals'
import { ApiError, get, post, remove, signedOut } from '../api/client'
import { hangUp } from '../api/live'
import type { Role, User } from '../api/types'

/** `undefined` until the server has answered. */
export const user = signal<User | null | undefined>(undefined)
/** Set when the first question of all got no answer. */
export const unreachable = signal(false)

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 }

export const mayOperate = computed(() => RANK[user.value?.role ?? 'viewer'] >= RANK.operator)
export const mayAdminister = computed(() => user.value?.role === 'admin')
/** The teams that one is in. */
export const ownTeams = computed(() => user.value?.teams ?? [])
const isOf = (team: string, name: string): boolean => name === team || (name.startsWith(team) && '-._'.includes(name.charAt(team.length)))
/** Whether a schedule, policy, receiver or rule file of that name may be changed: by an admin, or as the own team's. */
export const mayChange = (name: string): boolean => mayAdminister.value || (mayOperate.value && ownTeams.value.some((team) => isOf(team, name)))
/** Whether there is any name that one may give to something new. */
export const mayMake = computed(() => mayAdminister.value || (mayOperate.value && ownTeams.value.length > 0))
/** Whether what is *team*'s (empty: nobody's) may be changed: by an admin, a member, or where it is nobody's. */
export const mayChangeOf = (team: string): boolean => mayAdminister.value || (mayOperate.value && (team === '' || ownTeams.value.includes(team)))

export async function loadSession(): Promise<void> {
  try {
    user.value = (await get<{ user: User }>('/session')).user
    signedOut.value = false
    unreachable.value = false
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
      user.value = null
    } else {
      unreachable.value = true
      setTimeout(() => void loadSession(), 3000)
    }
  }
}

export async function signIn(name: string, password: string): Promise<void> {
  user.value = (await post<{ user: User }>('/session', { name, password })).user
  signedOut.value = false
}

export async function changePassword(old: string, next: string): Promise<void> {
  await post('/session/password', { old, new: next })
  await loadSession()
}

/** Looks at the pages as a role or a person would, from a fresh page on. */
export async function seeAs(who: { role: Role } | { person: string }): Promise<void> {
  await post('/session/as', who)
  location.assign('/fleet')
}

export async function seeOwn(): Promise<void> {
  await remove('/session/as')
  location.assign('/access')
}

export async function signOut(): Promise<void> {
  hangUp()
  try {
    await remove('/session')
  } finally {
    user.value = null
  }
}

signedOut.subscribe((out) => {
  if (out && user.peek()) {
    hangUp()
    user.value = null
  }
})
