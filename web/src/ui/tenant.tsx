// tenant.tsx - the tenant whose data the pages show. It is in the address, so that links have it, and
// requests name it.

import { Fragment } from 'preact'
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { nameTenant } from '../lib/session'
import { Field, Pick } from './parts'
import { go, usePlace } from './router'
import { useSession } from './session'

/** Characters of tenants' names, and what separates several. */
const written = /^[A-Za-z0-9!_.*'()|-]*$/

/** Returns the tenants that may be chosen if they are known, and what is chosen: a name, or several. */
function useTenant(): { names: string[] | null; chosen: string; choose: (tenant: string, replace?: boolean) => void } {
  const { sender } = useSession()
  const place = usePlace()
  const choose = (tenant: string, replace = false) => {
    const values = new URLSearchParams(place.values)
    values.set('tenant', tenant)
    go(place.page, values, replace)
  }
  if (!sender.tenancy) return { names: [], chosen: '', choose }
  const names = sender.tenants === null || sender.tenants.some(t => t.includes('*')) ? null : sender.tenants
  const given = place.values.get('tenant') ?? ''
  if (names?.length === 1) return { names, chosen: '', choose } // the server knows it
  return { names, chosen: written.test(given) && given !== '' ? given : (names?.[0] ?? ''), choose }
}

/** Says whether the pages show one tenant: some routes answer for one only. */
export function useIsOneTenant(): boolean {
  return !useTenant().chosen.includes('|')
}

/** Shows the pages of the tenant, anew for each. */
export function OfTenant(props: { children: ComponentChildren }) {
  const { names, chosen, choose } = useTenant()
  const place = usePlace()
  nameTenant(chosen)
  useEffect(() => {
    if (chosen !== '' && place.values.get('tenant') !== chosen) choose(chosen, true)
  }, [chosen, place])
  if (names === null && chosen === '') return <p class="empty">Choose a tenant: type its name beside “Tenant”, or several as a|b.</p>
  return <Fragment key={chosen}>{props.children}</Fragment>
}

export function TenantPicker() {
  const { names, chosen, choose } = useTenant()
  const { sender } = useSession()
  if (!sender.tenancy) return null
  if (names === null) return <Field label="Tenant" value={chosen} size={10} wrong={t => !written.test(t)} onChange={choose} />
  if (names.length === 1) return <span class="field">Tenant {names[0]}</span>
  const choices = [...new Set([...names, chosen])].map(id => ({ id, label: id }))
  return <Pick label="Tenant" choices={choices} value={chosen} onChange={choose} />
}
