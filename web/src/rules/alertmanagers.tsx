// alertmanagers.tsx - to whom alerts are sent, with the queue of each.

import { count, duration } from '../lib/format'
import { sum } from '../lib/metrics'
import { useMetrics } from '../ui/metrics'
import { Shown } from '../ui/page'
import { useMay } from '../ui/session'

interface Alertmanagers {
  activeAlertmanagers: { url: string }[]
}

export function Alertmanagers() {
  const metrics = useMetrics(15, useMay('metrics'))
  const now = metrics.value?.now
  return (
    <Shown<Alertmanagers> path="api/v1/alertmanagers">
      {data => {
        const list = data.activeAlertmanagers
        if (list.length === 0) return <p class="empty">No Alertmanagers are configured.</p>
        const of = (family: string, url: string) => (now === undefined ? null : sum(now, `firekeep_notifications_${family}`, { alertmanager: url }))
        const capacity = now === undefined ? 0 : sum(now, 'firekeep_notifications_queue_capacity')
        const number = (n: number | null, isBad = false) => <td class={isBad && n !== null && n > 0 ? 'number bad' : 'number'}>{n === null ? '–' : count(n)}</td>
        return (
          <table>
            <thead>
              <tr>
                <th scope="col">Alertmanager</th>
                {['Queued', 'Capacity', 'Sent', 'Failed requests', 'Dropped', 'Request'].map(n => (
                  <th scope="col" class="number">
                    {n}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {list.map(({ url }) => {
                const requests = of('latency_seconds_count', url)
                return (
                  <tr key={url}>
                    <td>
                      <code>{url}</code>
                    </td>
                    {number(of('queue_length', url))}
                    {number(now === undefined ? null : capacity)}
                    {number(of('sent_total', url))}
                    {number(of('errors_total', url), true)}
                    {number(of('dropped_total', url), true)}
                    <td class="number">{requests === null || requests === 0 ? '–' : duration(of('latency_seconds_sum', url)! / requests)}</td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        )
      }}
    </Shown>
  )
}
