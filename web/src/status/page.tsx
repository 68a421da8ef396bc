// page.tsx - the status pages: runtime, configuration, flags, store, queries.

import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { post } from '../lib/api'
import { bytes, count, duration } from '../lib/format'
import { formatTime } from '../lib/time'
import { Confirm, Facts, Search, Shown, Title, numbered } from '../ui/page'
import { Failure, Tabs } from '../ui/parts'
import { go, usePlace } from '../ui/router'
import { useMay, useSession } from '../ui/session'
import { useSettings } from '../ui/settings'
import { Ago, Expression } from '../rules/parts'
import { matches } from '../rules/types'
import { ConfigCheck } from './config_check'
import { Log } from './log'
import { Tenants } from './tenants'

const tabs = [
  { id: 'status', label: 'Runtime' },
  { id: 'tsdb-status', label: 'Store' },
  { id: 'tenants', label: 'Tenants', isOfTenancy: true },
  { id: 'queries', label: 'Queries', isOfReaders: true },
  { id: 'config', label: 'Configuration' },
  { id: 'flags', label: 'Flags' },
]

type Values = Record<string, string | number | boolean>

type Write = (value: string | number | boolean, values: Values) => ComponentChildren

function Moment(props: { time: string }) {
  const [{ zone }] = useSettings()
  return (
    <>
      {formatTime(Date.parse(props.time) / 1000, zone)}, <Ago time={props.time} />
    </>
  )
}

const text: Write = v => (typeof v === 'number' ? count(v) : String(v))
const size: Write = v => bytes(Number(v))
const moment: Write = v => <Moment time={String(v)} />

const buildNames: Record<string, [string, Write]> = {
  firekeepVersion: ['Firekeep', text],
  version: ['API as Prometheus', text],
  revision: ['Revision', text],
  branch: ['Branch', text],
  buildUser: ['Built by', text],
  buildDate: ['Built on', text],
  goVersion: ['Go', text],
  compiler: ['Compiler', text],
}

const runtimeNames: Record<string, [string, Write]> = {
  ready: ['Ready', (v, d) => (v ? 'yes' : <span class="bad">no: {d['notReadyReason']}</span>)],
  startTime: ['Started', moment],
  serverTime: ['Clock', moment],
  hostname: ['Host', text],
  CWD: ['Directory', text],
  lastConfigTime: ['Configuration read', moment],
  reloadConfigSuccess: ['Last reload', v => (v ? 'succeeded' : <span class="bad">failed; the configuration before is in force</span>)],
  storageRetention: ['Retention', text],
  timeSeriesCount: ['Series in memory', text],
  parts: ['Parts', (v, d) => `${count(Number(v))}, ${bytes(Number(d['partBytes']))}`],
  walSegments: ['Log', (v, d) => `${numbered(Number(v), 'segment')}, ${bytes(Number(d['walBytes']))}`],
  corruptionCount: ['Damaged places', v => <span class={Number(v) > 0 ? 'bad' : ''}>{count(Number(v))}</span>],
  tenants: ['Tenants', text],
  GOMAXPROCS: ['Processors', text],
  GOMEMLIMIT: ['Memory limit', size],
}

/** Names values in words. Those without a name are not about this program, but in Prometheus' API. */
function factsOf(values: Values, names: typeof buildNames): [string, ComponentChildren][] {
  return Object.entries(names).flatMap(([key, [name, write]]): [string, ComponentChildren][] => {
    const value = values[key]
    return value === undefined || value === '' ? [] : [[name, write(value, values)]]
  })
}

function Runtime() {
  return (
    <>
      <div class="columns">
        <section>
          <h2>Runtime</h2>
          <Shown<Values> path="api/v1/status/runtimeinfo">{d => <Facts rows={factsOf(d, runtimeNames)} />}</Shown>
        </section>
        <section>
          <h2>Build</h2>
          <Shown<Values> path="api/v1/status/buildinfo">{d => <Facts rows={factsOf(d, buildNames)} />}</Shown>
        </section>
      </div>
      <Log />
    </>
  )
}

interface Ranked {
  name: string
  value: number
}

interface Tsdb {
  headStats: { numSeries: number; numLabelPairs: number; numSamples: number; bytes: number }
  partStats: { numParts: number; numSamples: number; bytes: number }
  seriesCountByMetricName: Ranked[]
  labelValueCountByLabelName: Ranked[]
  memoryInBytesByLabelName: Ranked[]
  seriesCountByLabelValuePair: Ranked[]
}

function Ranking(props: { title: string; rows: Ranked[]; write?: (n: number) => string }) {
  return (
    <table class="ranking">
      <caption>{props.title}</caption>
      <tbody>
        {props.rows.map(r => (
          <tr>
            <td>
              <code>{r.name}</code>
            </td>
            <td class="number">{(props.write ?? count)(r.value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

interface Size {
  name?: string
  value?: string
  bytes: number
}

interface Sizes {
  exact: boolean
  shareRead: number
  metrics: Size[]
  labelNames: Size[]
  labelPairs: Size[]
}

function BytesInParts() {
  const rows = (list: Size[]) => list.map(s => ({ name: [s.name, s.value].filter(t => t !== undefined).join('='), value: s.bytes }))
  return (
    <Shown<Sizes> path="api/v1/status/tsdb/bytes" values={{ limit: '20' }} refresh={0}>
      {d => (
        <>
          {!d.exact && <p class="empty">Estimated from {(d.shareRead * 100).toPrecision(3)} % of the series in parts.</p>}
          <div class="columns">
            <Ranking title="Bytes in parts by metric" rows={rows(d.metrics)} write={bytes} />
            <Ranking title="Bytes in parts by label" rows={rows(d.labelNames)} write={bytes} />
            <Ranking title="Bytes in parts by label and value" rows={rows(d.labelPairs)} write={bytes} />
          </div>
        </>
      )}
    </Shown>
  )
}

function Store() {
  return (
    <>
      <InMemory />
      <BytesInParts />
    </>
  )
}

function InMemory() {
  return (
    <Shown<Tsdb> path="api/v1/status/tsdb" values={{ limit: '20' }}>
      {d => (
        <>
          <Facts
            rows={[
              ['Series in memory', count(d.headStats.numSeries)],
              ['Label pairs', count(d.headStats.numLabelPairs)],
              ['Samples in memory', `${count(d.headStats.numSamples)} (${bytes(d.headStats.bytes)})`],
              ['Parts', count(d.partStats.numParts)],
              [
                'Samples in parts',
                `${count(d.partStats.numSamples)} (${bytes(d.partStats.bytes)}${d.partStats.numSamples > 0 ? `, ${(d.partStats.bytes / d.partStats.numSamples).toFixed(2)} bytes per sample` : ''})`,
              ],
            ]}
          />
          <div class="columns">
            <Ranking title="Series by metric" rows={d.seriesCountByMetricName} />
            <Ranking title="Values by label" rows={d.labelValueCountByLabelName} />
            <Ranking title="Memory by label" rows={d.memoryInBytesByLabelName} write={bytes} />
            <Ranking title="Series by label and value" rows={d.seriesCountByLabelValuePair} />
          </div>
        </>
      )}
    </Shown>
  )
}

interface ActiveQuery {
  id: number
  tenant?: string
  query: string
  running_ms: number
  samples: number
  bytes: number
}

interface TopQuery {
  query: string
  tenant?: string
  count: number
  failed: number
  total_ms: number
  max_ms: number
  samples: number
  peak_bytes: number
}

const measures: [string, (q: TopQuery) => string][] = [
  ['Evaluations', q => count(q.count)],
  ['Failed', q => count(q.failed)],
  ['In all', q => duration(q.total_ms / 1000)],
  ['Longest', q => duration(q.max_ms / 1000)],
  ['Samples', q => count(q.samples)],
  ['Memory', q => bytes(q.peak_bytes)],
]

function Queries() {
  const { tenancy } = useSession().sender
  const [error, setError] = useState<Error | null>(null)
  const cancel = (id: number, reload: () => void) => {
    post(`api/v1/status/active_queries/${id}`, {}, 'DELETE').then(reload, setError)
  }
  return (
    <>
      <h2>Running</h2>
      {error !== null && <Failure error={error} />}
      <Shown<ActiveQuery[] | { queries: ActiveQuery[] }> path="api/v1/status/active_queries" refresh={2}>
        {(d, reload) => {
          const queries = Array.isArray(d) ? d : d.queries
          return queries.length === 0 ? (
            <p class="empty">No query is running.</p>
          ) : (
            <table>
              <thead>
                <tr>
                  <th scope="col">Expression</th>
                  {['Runs for', 'Samples', 'Memory'].map(n => (
                    <th scope="col" class="number">
                      {n}
                    </th>
                  ))}
                  <th scope="col">Action</th>
                </tr>
              </thead>
              <tbody>
                {queries.map(q => (
                  <tr key={q.id}>
                    <td>
                      <Expression text={q.query} />
                    </td>
                    <td class="number">{duration(q.running_ms / 1000)}</td>
                    <td class="number">{count(q.samples)}</td>
                    <td class="number">{bytes(q.bytes)}</td>
                    <td>
                      <Confirm label="Cancel it" question="Cancel this query?" onConfirm={() => cancel(q.id, reload)} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }}
      </Shown>
      <h2>Most expensive</h2>
      <Shown<TopQuery[] | { queries: TopQuery[] }> path="api/v1/status/top_queries" values={{ by: 'time', limit: '20' }}>
        {d => {
          const queries = Array.isArray(d) ? d : d.queries
          if (queries.length === 0) return <p class="empty">No query has been evaluated.</p>
          return (
            <table>
              <thead>
                <tr>
                  <th scope="col">Expression</th>
                  {tenancy && <th scope="col">Tenant</th>}
                  {measures.map(([name]) => (
                    <th scope="col" class="number">
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {queries.map(q => (
                  <tr>
                    <td>
                      <Expression text={q.query} />
                    </td>
                    {tenancy && <td>{q.tenant}</td>}
                    {measures.map(([, write]) => (
                      <td class="number">{write(q)}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }}
      </Shown>
    </>
  )
}

function Configuration() {
  return (
    <>
      <Shown<{ yaml: string }> path="api/v1/status/config">{d => <pre tabIndex={0}>{d.yaml}</pre>}</Shown>
      <ConfigCheck />
    </>
  )
}

function Flags() {
  const [text, setText] = useState('')
  return (
    <>
      <Search label="Filter" value={text} onChange={setText} />
      <Shown<Values> path="api/v1/status/flags">
        {d => <Facts rows={Object.entries(d).filter(([n, v]) => matches(text, n, String(v))).map(([n, v]) => [n, String(v)])} />}
      </Shown>
    </>
  )
}

export function StatusPage() {
  const place = usePlace()
  const mayRead = useMay('read')
  const maySeeProcess = useMay('admin', 'metrics')
  const { tenancy } = useSession().sender
  const maySeeTenants = useMay('metrics') && tenancy
  const offered = tabs.filter(t => (t.isOfReaders ? mayRead : t.isOfTenancy ? maySeeTenants : maySeeProcess))
  const tab = offered.some(t => t.id === place.page) ? place.page : (offered[0]?.id ?? '')
  return (
    <>
      <Title text="Status">
        <Tabs label="Page" choices={offered} value={tab} onChange={id => go(id)} />
      </Title>
      {tab === 'status' && <Runtime />}
      {tab === 'tsdb-status' && <Store />}
      {tab === 'tenants' && <Tenants />}
      {tab === 'queries' && <Queries />}
      {tab === 'config' && <Configuration />}
      {tab === 'flags' && <Flags />}
    </>
  )
}
