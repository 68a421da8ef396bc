// destinations.tsx - where samples are handed on to, and which other stores are read.

import { useRef, useState } from 'preact/hooks'
import { post } from '../lib/api'
import { bytes, count, duration, short } from '../lib/format'
import { Ago, State } from '../rules/parts'
import { Confirm, Facts, Shown, Title } from '../ui/page'
import { Failure, Tabs } from '../ui/parts'
import { NeedsAdminApi, useMayAct } from '../ui/session'
import { DeadLetters } from './letters'
import { Test } from './test'

interface Fates {
  taken: number
  delivered: number
  deadLettered: number
  queued: number
  dropped: Record<string, number>
  difference: number
}

interface Destination {
  name: string
  type: string
  state: string
  lastError: string
  lastErrorAt: string | null
  lastDelivered?: string | null
  samples?: Fates
  exemplars?: Fates
  metadata?: Fates
  lagBytes?: number
  lagSeconds?: number
  lanes?: number
  lanesBusy?: number
  calls?: number
  callFailures?: number
  sentBytes?: number
  resentSamples?: number
  billedUnits?: number
  memoryBytes?: number
}

const colours: Record<string, string> = { running: 'ok', blocked: 'err', refusing: 'err', closed: 'err', full: 'err', retrying: 'pending', paused: 'pending' }

function FatesTable(props: { rows: [string, Fates | undefined][] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Items</th>
          {['Taken', 'Delivered', 'Queued', 'Dead letters', 'Dropped', 'Unaccounted'].map(n => (
            <th scope="col" class="number">
              {n}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {props.rows.map(([name, f]) =>
          f === undefined || (f.taken === 0 && name !== 'Samples') ? null : (
            <tr>
              <th scope="row">{name}</th>
              <td class="number">{count(f.taken)}</td>
              <td class="number">{count(f.delivered)}</td>
              <td class="number">{count(f.queued)}</td>
              <td class="number">{count(f.deadLettered)}</td>
              <td class="number">
                {count(Object.values(f.dropped).reduce((a, b) => a + b, 0))}
                {Object.entries(f.dropped).map(([reason, n]) => (
                  <small>
                    {' '}
                    {reason} {count(n)}
                  </small>
                ))}
              </td>
              <td class={f.difference !== 0 ? 'number bad' : 'number'}>{count(f.difference)}</td>
            </tr>
          ),
        )}
      </tbody>
    </table>
  )
}

const views = [
  { id: '', label: 'State' },
  { id: 'letters', label: 'Dead letters' },
  { id: 'test', label: 'Test' },
]

/** How much a number has grown per second since it was first seen, at most a minute ago. */
function useRate() {
  const seen = useRef<{ at: number; values: Record<string, number> }[]>([])
  return (values: Record<string, number>) => {
    const at = performance.now() / 1000
    const list = seen.current
    if (list.length === 0 || at - list[list.length - 1]!.at > 1) list.push({ at, values })
    if (list.length > 12) list.shift()
    const first = list[0]!
    return (name: string): number | null => (at - first.at < 2 ? null : Math.max(0, (values[name]! - first.values[name]!) / (at - first.at)))
  }
}

/** Rates of a destination in words. */
function ratesText(d: Destination, rate: (name: string) => number | null): string {
  const delivered = rate('delivered')
  if (delivered === null) return 'measured within seconds'
  const units = rate('units')!
  return (
    `${short(Number(delivered.toPrecision(3)))} samples/s, ${bytes(rate('bytes')!)}/s` +
    ((d.billedUnits ?? 0) > 0 ? `; ${short(Number((units * 86400).toPrecision(3)))} billed units per day` : '')
  )
}

function DestinationCard(props: { destination: Destination; reload: () => void }) {
  const d = props.destination
  const mayAct = useMayAct()
  const [error, setError] = useState<Error | null>(null)
  const [view, setView] = useState('')
  const rate = useRate()({ delivered: d.samples?.delivered ?? 0, bytes: d.sentBytes ?? 0, units: d.billedUnits ?? 0 })
  const act = (verb: string) =>
    post(`api/v1/admin/destinations/${encodeURIComponent(d.name)}/${verb}`).then(() => {
      setError(null)
      props.reload()
    }, setError)
  return (
    <section class="card" aria-label={d.name}>
      <header class="title">
        <span>
          <b>{d.name}</b> <small>{d.type}</small> <State state={d.state} colour={colours[d.state]} />
        </span>
        <span class="row" hidden={!mayAct}>
          {d.state === 'paused' ? (
            <button type="button" onClick={() => act('resume')}>
              Resume
            </button>
          ) : (
            <Confirm label="Pause" question="Pause this destination? What it has not got stays in the log." onConfirm={() => act('pause')} />
          )}
          {(d.state === 'refusing' || d.state === 'blocked') && (
            <button type="button" onClick={() => act('resume')}>
              Resume
            </button>
          )}
        </span>
      </header>
      {error !== null && <Failure error={error} />}
      {d.lastError !== '' && (
        <p class="notice error">
          {d.lastError}{' '}
          {d.lastErrorAt !== null && (
            <small>
              <Ago time={d.lastErrorAt} />
            </small>
          )}
        </p>
      )}
      {mayAct && <Tabs label={`Views of ${d.name}`} choices={views} value={view} onChange={setView} />}
      {view === 'letters' && <DeadLetters name={d.name} />}
      {view === 'test' && <Test name={d.name} />}
      {view === '' && d.samples !== undefined && (
        <>
          <div class="scroll">
            <FatesTable
              rows={[
                ['Samples', d.samples],
                ['Exemplars', d.exemplars],
                ['Metadata', d.metadata],
              ]}
            />
          </div>
          <Facts
            rows={[
              ['Lag', `${duration(d.lagSeconds ?? 0)}, ${bytes(d.lagBytes ?? 0)} of the log`],
              ['Rate', ratesText(d, rate)],
              ['Last delivered', d.lastDelivered ? <Ago time={d.lastDelivered} /> : 'never'],
              ['Requests', `${count(d.calls ?? 0)}, ${count(d.callFailures ?? 0)} failed; ${d.lanesBusy} pending, at most ${d.lanes} at a time`],
              ['Sent', `${bytes(d.sentBytes ?? 0)}, ${count(d.resentSamples ?? 0)} samples again, ${count(d.billedUnits ?? 0)} billed units`],
              ['Memory', bytes(d.memoryBytes ?? 0)],
            ]}
          />
        </>
      )}
    </section>
  )
}

interface Source {
  name: string
  type: string
  onError: string
  lastError: string
  lastErrorAt?: string | null
  warnings: number
  errors: Record<string, number>
  requests: number
  retries: number
  receivedBytes: number
  queries: number
  series: number
  samples: number
  failedQueries: number
}

export function DestinationsPage() {
  return (
    <>
      <Title text="Destinations and sources" />
      <h2>Destinations</h2>
      <Shown<Destination[]> path="api/v1/status/destinations" refresh={5}>
        {(list, reload) =>
          list.length === 0 ? (
            <p class="empty">No destinations are configured.</p>
          ) : (
            list.map(d => <DestinationCard key={d.name} destination={d} reload={reload} />)
          )
        }
      </Shown>
      <NeedsAdminApi what="Destinations are paused and tested, and dead letters shown," />
      <h2>Sources</h2>
      <Shown<Source[]> path="api/v1/status/sources" refresh={5}>
        {list =>
          list.length === 0 ? (
            <p class="empty">No sources are configured.</p>
          ) : (
            list.map(s => (
              <section class="card" aria-label={s.name}>
                <b>{s.name}</b> <small>{s.type}</small>
                {s.lastError !== '' && (
                  <p class="notice error">
                    {s.lastError}{' '}
                    {s.lastErrorAt && (
                      <small>
                        <Ago time={s.lastErrorAt} />
                      </small>
                    )}
                  </p>
                )}
                <Facts
                  rows={[
                    ['Queries', `${count(s.queries)}, ${count(s.failedQueries)} failed (on_error: ${s.onError})`],
                    ['Requests', `${count(s.requests)}, ${count(s.retries)} repeated, ${bytes(s.receivedBytes)} received`],
                    ['Read', `${count(s.series)} series, ${count(s.samples)} samples, ${count(s.warnings)} warnings`],
                    [
                      'Errors',
                      Object.entries(s.errors)
                        .filter(([, n]) => n > 0)
                        .map(([kind, n]) => `${kind} ${count(n)}`)
                        .join(', ') || 'none',
                    ],
                  ]}
                />
              </section>
            ))
          )
        }
      </Shown>
    </>
  )
}
