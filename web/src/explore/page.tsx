// page.tsx - the metrics of the store: names and descriptions, series, bytes and usage; one of them in
// detail; graphs of several.

import { useEffect, useState } from 'preact/hooks'
import { get } from '../lib/api'
import { serverNowMs } from '../lib/clock'
import { bytes, count } from '../lib/format'
import { formatTime } from '../lib/time'
import { Lazy } from '../ui/lazy'
import { useLoad } from '../ui/load'
import { Search, Title } from '../ui/page'
import { Check, Failure, Notice, Pick, Tabs } from '../ui/parts'
import { Link, go, useArgument, usePlace } from '../ui/router'
import { useMay } from '../ui/session'
import { useSettings } from '../ui/settings'
import { useIsOneTenant } from '../ui/tenant'
import { useMetrics } from './metrics'
import type { Metric } from './metrics'
import { Origins } from './origins'
import { sinceText, useMaySeeUsage, useUsage } from './usage'

const spans = [
  { id: '3600', label: 'last hour' },
  { id: '86400', label: 'last day' },
  { id: '604800', label: 'last week' },
  { id: '2592000', label: 'last 30 days' },
]
const views = [
  { id: 'list', label: 'Metrics' },
  { id: 'graphs', label: 'Graphs' },
]
const usages = [
  { id: '', label: 'hidden' },
  { id: 'shown', label: 'shown' },
  { id: 'unused', label: 'unused only' },
]
const namesShown = 200
/** Names that are read to find the unused ones; the server's limit of a search. */
const namesRead = 10_000

interface Sizes {
  exact: boolean
  shareRead: number
  metrics: { value: string; bytes: number; samples: number }[]
}

interface Counts {
  seriesCountByMetricName: { name: string; value: number }[]
}

/** The series in memory and the stored bytes of each metric. The server reads its indexes for them, so one asks for them. */
function useSizes() {
  const [isWanted, setWanted] = useState(false)
  const [load, send] = useLoad<[Sizes, Counts]>()
  useEffect(() => {
    const ask = async (signal: AbortSignal) => {
      const [sizes, counts] = await Promise.all([get<Sizes>('api/v1/status/tsdb/bytes', { limit: '10000' }, signal), get<Counts>('api/v1/status/tsdb', { limit: '10000' }, signal)])
      return [sizes.data, counts.data] as [Sizes, Counts]
    }
    if (isWanted && load.value === null) send(ask)
  }, [isWanted])
  const [sizes, counts] = (isWanted ? load.value : null) ?? [null, null]
  const of = new Map(sizes?.metrics.map(m => [m.value, m]))
  const seriesOf = new Map(counts?.seriesCountByMetricName.map(m => [m.name, m.value]))
  return { isWanted, setWanted, sizes, of, seriesOf, error: load.error }
}

function List() {
  const place = usePlace()
  const [{ zone }] = useSettings()
  const metric = place.values.get('metric')
  const [text, setText] = useArgument('search')
  const [usage, setUsage] = useArgument('usage')
  const [span, setSpan] = useState('3600')
  const isOne = useIsOneTenant()
  const maySeeSizes = useMay('admin', 'metrics') && isOne
  const maySeeUsage = useMaySeeUsage()
  const { isWanted, setWanted, sizes, of, seriesOf, error } = useSizes()
  const used = useUsage(maySeeUsage && usage !== '')
  const isUnused = maySeeUsage && usage === 'unused'
  const uses = usage === '' ? null : used.value
  const usageOf = new Map(uses?.metrics.map(m => [m.metric, m]))
  // Seconds of one minute make the same question, so that it is not asked again.
  const end = Math.ceil(serverNowMs() / 60_000) * 60
  const limit = isUnused ? namesRead : namesShown
  const { metrics, error: failure } = useMetrics({
    'search[]': text === '' ? undefined : text,
    case_sensitive: 'false',
    start: String(end - Number(span)),
    end: String(end),
    limit: String(limit),
  })
  const bytesOf = (m: Metric) => of.get(m.name)?.bytes ?? 0
  let found = metrics?.metrics ?? []
  if (isUnused) found = uses === null ? [] : found.filter(m => !usageOf.has(m.name))
  if (isUnused && sizes !== null) found = [...found].sort((a, b) => bytesOf(b) - bytesOf(a))
  const shown = found.slice(0, namesShown)
  const isTyped = shown.some(m => m.type !== undefined || m.unit !== undefined)
  const isDescribed = shown.some(m => m.help !== undefined)
  const number = (label: string) => (
    <th scope="col" class="number">
      {label}
    </th>
  )
  return (
    <>
      <div class="controls">
        <Search label="Metric" value={text} onChange={setText} />
        <Pick label="Samples of the" choices={spans} value={span} onChange={setSpan} />
        {maySeeSizes && <Check label="Series and bytes" value={isWanted} onChange={setWanted} />}
        {maySeeUsage && <Pick label="Usage" choices={usages} value={usage} onChange={setUsage} />}
      </div>
      {error !== null && <Failure error={error} />}
      {used.error !== null && usage !== '' && <Failure error={used.error} />}
      {sizes?.exact === false && <Notice kind="info">Bytes are estimated from {(sizes.shareRead * 100).toPrecision(3)} % of the series in parts.</Notice>}
      {uses !== null && (
        <Notice kind="info">
          {isUnused ? `${count(found.length)} of ${count(metrics?.metrics.length ?? 0)} metrics were not asked for` : 'Uses are counted'} {sinceText(uses, zone)}.
          {isUnused && sizes === null && maySeeSizes && ' “Series and bytes” puts the largest first.'}
        </Notice>
      )}
      {metric !== null && (
        <Lazy key={metric} load={() => import('./detail')}>
          {m => <m.MetricDetail metric={metric} span={Number(span)} />}
        </Lazy>
      )}
      {failure !== null && <Failure error={failure} />}
      {metrics !== null && <Origins of={metrics} />}
      {metrics !== null && shown.length === 0 && metrics.waiting.length === 0 && !(isUnused && uses === null) && (
        <p class="empty">{isUnused && metrics.metrics.length > 0 ? 'Each metric was asked for.' : 'No metric matches.'}</p>
      )}
      {metrics !== null && shown.length > 0 && (
        <div class="scroll">
          <table class="metrics" aria-busy={metrics.isLoading}>
            <thead>
              <tr>
                <th scope="col">Metric</th>
                {uses !== null && !isUnused && (
                  <>
                    {number('Queries')}
                    {number('Rules')}
                    {number('Look-ups')}
                    <th scope="col">Last used</th>
                  </>
                )}
                {sizes !== null && (
                  <>
                    {number('Series in memory')}
                    {number('Bytes in parts')}
                    {number('Per sample')}
                  </>
                )}
                {isTyped && <th scope="col">Type</th>}
                {metrics.isMany && <th scope="col">Sources</th>}
                {isDescribed && <th scope="col">Description</th>}
              </tr>
            </thead>
            <tbody>
              {shown.map(f => {
                const u = usageOf.get(f.name)
                return (
                  <tr>
                    <td>
                      <Link to="explore" values={new URLSearchParams({ metric: f.name, ...(text !== '' && { search: text }), ...(usage !== '' && { usage }) })}>
                        <code>{f.name}</code>
                      </Link>
                    </td>
                    {uses !== null && !isUnused && (
                      <>
                        <td class="number">{count(u?.queries ?? 0)}</td>
                        <td class="number">{count(u?.rules ?? 0)}</td>
                        <td class="number">{count(u?.lookups ?? 0)}</td>
                        <td>{u === undefined ? '–' : formatTime(Math.floor(u.last), zone)}</td>
                      </>
                    )}
                    {sizes !== null && (
                      <>
                        <td class="number">{count(seriesOf.get(f.name) ?? 0)}</td>
                        <td class="number">{bytes(bytesOf(f))}</td>
                        <td class="number">{of.has(f.name) && (of.get(f.name)!.bytes / of.get(f.name)!.samples).toFixed(2)}</td>
                      </>
                    )}
                    {isTyped && <td>{[f.type, f.unit].filter(t => t !== undefined && t !== '').join(', ')}</td>}
                    {metrics.isMany && <td>{f.origins.join(', ')}</td>}
                    {isDescribed && <td>{f.help}</td>}
                  </tr>
                )
              })}
            </tbody>
          </table>
        </div>
      )}
      {found.length > namesShown || (metrics?.metrics.length ?? 0) >= limit ? (
        <p class="empty">
          {found.length > shown.length || !isUnused ? `The first ${namesShown} metrics are shown` : `Only the first ${count(namesRead)} metrics were compared`}; narrow the list with the filter.
        </p>
      ) : null}
    </>
  )
}

export function ExplorePage() {
  const { values } = usePlace()
  const view = values.get('view') === 'graphs' ? 'graphs' : 'list'
  const turn = (to: string) => go('explore', to === 'graphs' ? new URLSearchParams({ view: 'graphs' }) : undefined)
  return (
    <>
      <Title text="Explore">
        <Tabs label="View" choices={views} value={view} onChange={turn} />
      </Title>
      {view === 'list' ? <List /> : <Lazy load={() => import('./graphs')}>{m => <m.InstanceGraphs />}</Lazy>}
    </>
  )
}
