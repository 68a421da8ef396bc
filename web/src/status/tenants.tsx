// tenants.tsx - tenants with their samples, by the server's own metrics.

import { useState } from 'preact/hooks'
import { count, short } from '../lib/format'
import { sum, valuesOf } from '../lib/metrics'
import { matches } from '../rules/types'
import { useMetrics } from '../ui/metrics'
import { Search, numbered } from '../ui/page'
import { Failure } from '../ui/parts'

const shownMost = 500

export function Tenants() {
  const [text, setText] = useState('')
  const load = useMetrics()
  if (load.error !== null) return <Failure error={load.error} />
  if (load.value === null) return <p class="empty">Loading…</p>
  const { now, rate } = load.value
  const of = (name: string, tenant: string) => sum(now, `firekeep_samples_${name}`, { tenant })
  const tenants = valuesOf(now, 'firekeep_samples_received_total', 'tenant').filter(t => matches(text, t))
  return (
    <>
      <Search label="Filter" value={text} onChange={setText} />
      <p class="costs">{numbered(tenants.length, 'tenant')}</p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Tenant</th>
              {['Received', 'Per second', 'In parts', 'In memory', 'Refused'].map(t => (
                <th scope="col" class="number">
                  {t}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {tenants.slice(0, shownMost).map(t => (
              <tr key={t}>
                <th scope="row">{t}</th>
                <td class="number">{count(of('received_total', t))}</td>
                <td class="number">{short(rate(f => sum(f, 'firekeep_samples_received_total', { tenant: t })) ?? 0)}</td>
                <td class="number">{count(of('stored', t))}</td>
                <td class="number">{count(of('pending', t))}</td>
                <td class={of('rejected_total', t) > 0 ? 'number bad' : 'number'}>{count(of('rejected_total', t))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {tenants.length > shownMost && <p class="empty">{shownMost} tenants are shown; narrow the list with the filter.</p>}
    </>
  )
}
