/* The service worker: the frame of the pages opens without a network, and says so. It keeps files
 * that never change (their names are hashes) and the last page of this address; data it never keeps,
 * for old numbers look like new ones. */
const KEPT = 'vezha-1'
const SHELL = '/fleet'

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(KEPT)
      .then((cache) => cache.add(new Request(SHELL, { credentials: 'same-origin' })))
      .then(() => self.skipWaiting()),
  )
})

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  )
})

self.addEventListener('fetch', (event) => {
  const { request } = event
  const url = new URL(request.url)
  if (request.method !== 'GET' || url.origin !== location.origin || url.pathname.startsWith('/api/')) return
  if (url.pathname.startsWith('/assets/')) event.respondWith(file(request))
  else if (request.mode === 'navigate') event.respondWith(page(request))
})

async function file(request) {
  const cache = await caches.open(KEPT)
  const found = await cache.match(request)
  if (found) return found
  const answer = await fetch(request)
  if (answer.ok) await cache.put(request, answer.clone())
  return answer
}

async function page(request) {
  const cache = await caches.open(KEPT)
  try {
    const answer = await fetch(request)
    if (answer.ok) await cache.put(SHELL, answer.clone())
    return answer
  } catch (error) {
    // Every page address answers with the same HTML.
    const found = await cache.match(SHELL)
    if (found) return found
    throw error
  }
}

self.addEventListener('push', (event) => {
  let told = {}
  try {
    told = event.data ? event.data.json() : {}
  } catch {
    // A message that is not ours is still told, without words.
  }
  event.waitUntil(
    self.registration.showNotification(told.title || 'Vezha', {
      body: told.body || '',
      tag: told.tag,
      lang: told.language,
      silent: told.silent === true,
      timestamp: told.at_ms,
      icon: '/icon-192.png',
      data: { incident: told.incident },
    }),
  )
})

self.addEventListener('notificationclick', (event) => {
  event.notification.close()
  const { incident } = event.notification.data || {}
  event.waitUntil(self.clients.openWindow(Number.isInteger(incident) ? `/incident/${incident}` : '/incidents'))
})
