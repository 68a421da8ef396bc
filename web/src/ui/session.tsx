// session.tsx - who is signed in and what they may do; the form to sign in. The form takes the place
// of the pages, which keep their state unless somebody else signs in.

import { createContext } from 'preact'
import type { ComponentChildren } from 'preact'
import { useContext, useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, answerOf, root } from '../lib/api'
import { basic, fetchOnce, isUnknown, sayBegun, whenEnded } from '../lib/session'
import { Failure, Tabs } from './parts'

export type Permission = 'write' | 'read' | 'rules' | 'admin' | 'metrics'

/** The answer of api/v1/session. */
export interface Sender {
  user: string | null // null: no users are configured
  session: boolean
  permissions: Permission[]
  adminApi: boolean
  tenancy: boolean
  tenants: string[] | null // names and patterns; null: all
  restricted: boolean // some series are hidden from the user
}

interface Session {
  sender: Sender
  signOut: () => void
}

const SessionContext = createContext<Session | null>(null)

export function useSession(): Session {
  return useContext(SessionContext)!
}

/** Says whether the person has one of these permissions. */
export function useMay(...permissions: Permission[]): boolean {
  const { sender } = useSession()
  return permissions.some(p => sender.permissions.includes(p))
}

/** Says whether the person may use the admin API, and there is one. */
export function useMayAct(): boolean {
  const { sender } = useSession()
  return useMay('admin') && sender.adminApi
}

/** Says which flag lets the person do something; nothing if that is not what is missing. */
export function NeedsAdminApi(props: { what: string }) {
  const { sender } = useSession()
  if (!useMay('admin') || sender.adminApi) return null
  return (
    <p class="empty">
      {props.what} if the server is started with <code>--web.enable-admin-api</code>.
    </p>
  )
}

const url = new URL('api/v1/session', root)
const unreachable = new ApiError(0, 'unreachable', 'The server does not answer.')

/** Returns null if the server does not know who asks. */
async function findSender(): Promise<Sender | null> {
  const response = await fetchOnce(url).catch(() => Promise.reject(unreachable))
  return isUnknown(response) ? null : (await answerOf<Sender>(response)).data
}

/** Throws if the credentials are refused. */
async function signIn(authorization: string, refusal: string): Promise<void> {
  const init = { method: 'POST', headers: { Authorization: authorization } }
  const response = await fetchOnce(url, init).catch(() => Promise.reject(unreachable))
  if (response.status === 401) throw new Error(refusal)
  if (!response.ok) await answerOf(response)
}

async function endSession(): Promise<void> {
  const response = await fetchOnce(url, { method: 'DELETE' }).catch(() => Promise.reject(unreachable))
  if (!response.ok && !isUnknown(response)) await answerOf(response)
}

/** The tabs of a browser have one cookie: each tells the others when somebody signs in or out. */
const tabs = new BroadcastChannel('firekeep-session')

const ways = [
  { id: 'password', label: 'Password' },
  { id: 'token', label: 'Token' },
]

function Secret(props: { label: string; autocomplete: 'current-password' | 'off'; value: string; onChange: (text: string) => void }) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <input type="password" required autocomplete={props.autocomplete} value={props.value} onInput={e => props.onChange(e.currentTarget.value)} />
    </label>
  )
}

function SignIn(props: { isNew: boolean; onDone: () => void }) {
  const [way, setWay] = useState('password')
  const [user, setUser] = useState('')
  const [secret, setSecret] = useState('')
  const [error, setError] = useState<Error | null>(null)
  const [isBusy, setBusy] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => form.current?.querySelector('input')?.focus(), [way])
  const submit = (event: Event) => {
    event.preventDefault()
    setBusy(true)
    const refuse = (e: Error) => {
      setSecret('')
      setError(e)
      setBusy(false)
    }
    const attempt = way === 'token' ? signIn(`Bearer ${secret}`, 'The token is not valid.') : signIn(basic(user, secret), 'The user or the password is wrong.')
    attempt.then(() => {
      tabs.postMessage('in')
      props.onDone()
    }, refuse)
  }
  return (
    <main class="sign-in">
      <h1>Sign in to Firekeep</h1>
      {!props.isNew && <p>The session has ended. Sign in again to go on: nothing on the page is lost.</p>}
      <Tabs label="Sign in with" choices={ways} value={way} onChange={setWay} />
      <form ref={form} onSubmit={submit}>
        {way === 'password' && (
          <label class="field">
            <span>User</span>
            <input type="text" required autocomplete="username" spellcheck={false} value={user} onInput={e => setUser(e.currentTarget.value)} />
          </label>
        )}
        <Secret label={way === 'token' ? 'Token' : 'Password'} autocomplete={way === 'token' ? 'off' : 'current-password'} value={secret} onChange={setSecret} />
        {error !== null && <Failure error={error} />}
        <button type="submit" class="primary" disabled={isBusy}>
          Sign in
        </button>
      </form>
    </main>
  )
}

export function SessionProvider(props: { children: ComponentChildren }) {
  const [sender, setSender] = useState<Sender | null>(null)
  const [isOut, setOut] = useState(false)
  const [error, setError] = useState<Error | null>(null)
  const load = () =>
    findSender().then(found => {
      setError(null)
      setOut(found === null)
      if (found === null) return
      setSender(found)
      sayBegun()
    }, setError)
  useEffect(() => {
    load()
    tabs.onmessage = ({ data }) => {
      if (data === 'out') setSender(null)
      load()
    }
    return whenEnded(() => setOut(true))
  }, [])
  const signOut = () =>
    endSession().then(() => {
      tabs.postMessage('out')
      setSender(null)
      return load()
    }, setError)
  return (
    <>
      {error !== null && (
        <div class="trouble">
          <Failure error={error} />
          <button type="button" onClick={load}>
            Try again
          </button>
        </div>
      )}
      {isOut && <SignIn isNew={sender === null} onDone={load} />}
      {sender !== null && (
        <div class="frame" hidden={isOut} key={sender.user ?? ''}>
          <SessionContext.Provider value={{ sender, signOut }}>{props.children}</SessionContext.Provider>
        </div>
      )}
    </>
  )
}

/** The name of the user, and the way out. */
export function Who() {
  const { sender, signOut } = useSession()
  if (sender.user === null) return null
  return (
    <div class="who">
      <span title="Signed in">{sender.user}</span>
      {sender.restricted && <small>sees some series only</small>}
      {sender.session && (
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      )}
    </div>
  )
}
