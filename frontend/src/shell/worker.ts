/** The service worker: it opens the frame without a network and takes messages while no page is open. */
const WORKER = '/worker.js'

interface Guard {
  createPolicy: (name: string, rules: object) => { createScriptURL: (url: string) => string }
}

let address = ''

/** Registers it, or finds it registered. Rejects where the browser has none. */
export async function worker(): Promise<ServiceWorkerRegistration> {
  if (!('serviceWorker' in navigator)) throw new Error('no service worker')
  if (address === '') {
    // Where the browser guards script addresses, ours is the only one that its guard lets pass.
    const guard = (window as { trustedTypes?: Guard }).trustedTypes
    address = guard ? guard.createPolicy('vezha-worker', { createScriptURL: () => WORKER }).createScriptURL(WORKER) : WORKER
  }
  await navigator.serviceWorker.register(address)
  return navigator.serviceWorker.ready
}
