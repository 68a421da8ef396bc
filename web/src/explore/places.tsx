// places.tsx - which sources have a metric. Each is asked for one series, so that one that is slow or
// down delays only its own line.

import { useEffect } from 'preact/hooks'
import { get } from '../lib/api'
import { serverNow } from '../lib/clock'
import { seriesText } from '../lib/format'
import { useLoad } from '../ui/load'
import { Failure } from '../ui/parts'
import { uncounted } from './usage'

/** Returns the names of the sources, and '' for the store. */
async function namesOf(signal: AbortSignal): Promise<string[]> {
  const { data } = await get<{ name: string }[]>('api/v1/sources', {}, signal)
  return data.map(s => s.name)
}

/** The answer of one source; the name '' is the store of this server. */
function Place(props: { name: string; metric: string; span: number }) {
  const { name, metric, span } = props
  const [load, send] = useLoad<{ has: boolean; warning: string | undefined }>()
  useEffect(() => {
    const end = serverNow()
    const values = { 'match[]': seriesText({ __name__: metric }), start: String(end - span), end: String(end), limit: '1', source: name, ...uncounted }
    send(async signal => {
      const { data, warnings } = await get<unknown[]>('api/v1/series', values, signal)
      return { has: data.length > 0, warning: data.length > 0 ? undefined : warnings[0] }
    })
  }, [name, metric, span])
  const { value, error } = load
  return (
    <tr aria-busy={load.isLoading}>
      <th scope="row">{name === '' ? 'This server' : name}</th>
      <td>
        {error !== null && <Failure error={error} />}
        {error === null && value === null && 'Asking…'}
        {value !== null && (value.warning ?? (value.has ? 'has it' : 'does not have it'))}
      </td>
    </tr>
  )
}

export function Places(props: { metric: string; span: number }) {
  const [load, send] = useLoad<string[]>()
  useEffect(() => send(namesOf), [])
  if (load.value === null || load.value.length < 2) return null
  return (
    <section aria-label="Sources">
      <h3>Sources</h3>
      <table>
        <tbody>
          {load.value.map(name => (
            <Place key={name} name={name} metric={props.metric} span={props.span} />
          ))}
        </tbody>
      </table>
    </section>
  )
}
