// session.ts - requests as the person who is signed in. The browser keeps the cookie, which scripts
// cannot read; a password or token is sent once, to sign in.

import { compareClocks } from './clock'

const ended = 'firekeep-session-ended'
const begun = 'firekeep-session-begun'

/** The tenants that requests name; empty: the server knows the only one, or there are none. */
let tenant = ''

export function nameTenant(name: string): void {
  tenant = name
}

/**
 * Sends a request. Our own header keeps the browser from asking for a password, and shows the server
 * that no page of another site sends it.
 */
export async function fetchOnce(url: URL, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  headers.set('X-Firekeep-Page', '1')
  if (tenant !== '') headers.set('X-Scope-OrgID', tenant)
  const sentMs = Date.now()
  const response = await fetch(url, { ...init, headers, credentials: 'same-origin' })
  compareClocks(response, sentMs)
  return response
}

/** Says whether the server does not know who asks. Without a challenge, 401 is about the tenant. */
export function isUnknown(response: Response): boolean {
  return response.status === 401 && response.headers.has('WWW-Authenticate')
}

/** Sends a request, and once more when the person has signed in, if the session has ended. */
export async function fetchSignedIn(url: URL, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const response = await fetchOnce(url, init)
    if (!isUnknown(response)) return response
    await new Promise<void>((resolve, reject) => {
      const signal = init.signal ?? undefined
      addEventListener(begun, () => resolve(), { once: true, signal })
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      dispatchEvent(new Event(ended))
    })
  }
}

/** Calls `tell` each time when a request finds that the session has ended. */
export function whenEnded(tell: () => void): () => void {
  addEventListener(ended, tell)
  return () => removeEventListener(ended, tell)
}

/** Lets requests go on that wait for a session. */
export function sayBegun(): void {
  dispatchEvent(new Event(begun))
}

/** Writes credentials of basic authentication. */
export function basic(user: string, password: string): string {
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${password}`)))}`
}
