// page.tsx - the metrics of the store: names and descriptions, series and bytes; one of them in detail.

import { useEffect, useState } from 'preact/hooks'
import { get } from '../lib/api'
import { serverNowMs } from '../lib/clock'
import { bytes, count } from '../lib/format'
import { useLoad } from '../ui/load'
import { Search, Title } from '../ui/page'
import { Check, Failure, Notice, Pick } from '../ui/parts'
import { Link, useArgument, usePlace } from '../ui/router'
import { useMay } from '../ui/session'
import { MetricDetail } from './detail'
import { useMetrics } from './metrics'
import { Origins } from './origins'

const spans = [
  { id: '3600', label: 'last hour' },
  { id: '86400', label: 'last day' },
  { id: '604800', label: 'last week' },
  { id: '2592000', label: 'last 30 days' },
]
const namesShown = 200

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

export function ExplorePage() {
  const place = usePlace()
  const metric = place.values.get('metric')
  const [text, setText] = useArgument('search')
  const [span, setSpan] = useState('3600')
  const maySeeSizes = useMay('admin', 'metrics')
  const { isWanted, setWanted, sizes, of, seriesOf, error } = useSizes()
  // Seconds of one minute make the same question, so that it is not asked again.
  const end = Math.ceil(serverNowMs() / 60_000) * 60
  const { metrics, error: failure } = useMetrics({
    'search[]': text === '' ? undefined : text,
    case_sensitive: 'false',
    start: String(end - Number(span)),
    end: String(end),
    limit: String(namesShown),
  })
  const isTyped = metrics?.metrics.some(m => m.type !== undefined || m.unit !== undefined)
  const isDescribed = metrics?.metrics.some(m => m.help !== undefined)
  return (
    <>
      <Title text="Explore">
        <Search label="Metric" value={text} onChange={setText} />
        <Pick label="Samples of the" choices={spans} value={span} onChange={setSpan} />
        {maySeeSizes && <Check label="Series and bytes" value={isWanted} onChange={setWanted} />}
      </Title>
      {error !== null && <Failure error={error} />}
      {sizes?.exact === false && <Notice kind="info">Bytes are estimated from {(sizes.shareRead * 100).toPrecision(3)} % of the series in parts.</Notice>}
      {metric !== null && <MetricDetail key={metric} metric={metric} span={Number(span)} />}
      {failure !== null && <Failure error={failure} />}
      {metrics !== null && <Origins of={metrics} />}
      {metrics?.metrics.length === 0 && metrics.waiting.length === 0 && <p class="empty">No metric matches.</p>}
      {metrics !== null && metrics.metrics.length > 0 && (
        <div class="scroll">
          <table class="metrics" aria-busy={metrics.isLoading}>
            <thead>
              <tr>
                <th scope="col">Metric</th>
                {sizes !== null && (
                  <>
                    <th scope="col" class="number">
                      Series in memory
                    </th>
                    <th scope="col" class="number">
                      Bytes in parts
                    </th>
                    <th scope="col" class="number">
                      Per sample
                    </th>
                  </>
                )}
                {isTyped && <th scope="col">Type</th>}
                {metrics.isMany && <th scope="col">Sources</th>}
                {isDescribed && <th scope="col">Description</th>}
              </tr>
            </thead>
            <tbody>
              {metrics.metrics.map(f => (
                <tr>
                  <td>
                    <Link to="explore" values={new URLSearchParams({ metric: f.name, ...(text !== '' && { search: text }) })}>
                      <code>{f.name}</code>
                    </Link>
                  </td>
                  {sizes !== null && (
                    <>
                      <td class="number">{count(seriesOf.get(f.name) ?? 0)}</td>
                      <td class="number">{bytes(of.get(f.name)?.bytes ?? 0)}</td>
                      <td class="number">{of.has(f.name) && (of.get(f.name)!.bytes / of.get(f.name)!.samples).toFixed(2)}</td>
                    </>
                  )}
                  {isTyped && <td>{[f.type, f.unit].filter(t => t !== undefined && t !== '').join(', ')}</td>}
                  {metrics.isMany && <td>{f.origins.join(', ')}</td>}
                  {isDescribed && <td>{f.help}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(metrics?.metrics.length ?? 0) >= namesShown && <p class="empty">The first {namesShown} metrics are shown; narrow the list with the filter.</p>}
    </>
  )
}
