// page.tsx - the status pages: runtime, configuration, flags, store, queries.

import { useState } from 'preact/hooks'
import { post } from '../lib/api'
import { bytes, count, duration } from '../lib/format'
import { Confirm, Facts, Search, Shown, Title } from '../ui/page'
import { Failure, Tabs } from '../ui/parts'
import { go, usePlace } from '../ui/router'
import { useMay, useSession } from '../ui/session'
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

function factsOf(values: Values): [string, string][] {
  return Object.entries(values).map(([n, v]) => [n, typeof v === 'number' ? count(v) : String(v)])
}

function Runtime() {
  return (
    <>
      <h2>Build</h2>
      <Shown<Values> path="api/v1/status/buildinfo">{d => <Facts rows={factsOf(d)} />}</Shown>
      <h2>Runtime</h2>
      <Shown<Values> path="api/v1/status/runtimeinfo">{d => <Facts rows={factsOf(d)} />}</Shown>
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
  count: number
  [measure: string]: string | number
}

function Queries() {
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
              <tbody>
                {queries.map(q => (
                  <tr>
                    <td>
                      <code>{q.query}</code>
                    </td>
                    <td class="number">{duration(q.running_ms / 1000)}</td>
                    <td class="number">{count(q.samples)} samples</td>
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
          const names = Object.keys(queries[0] ?? {}).filter(n => n !== 'query')
          return (
            <table>
              <thead>
                <tr>
                  <th scope="col">Expression</th>
                  {names.map(n => (
                    <th scope="col" class="number">
                      {n}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {queries.map(q => (
                  <tr>
                    <td>
                      <code>{q.query}</code>
                    </td>
                    {names.map(n => (
                      <td class="number">{typeof q[n] === 'number' ? count(q[n] as number) : q[n]}</td>
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
