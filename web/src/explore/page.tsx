// page.tsx - the metrics of the store: names, descriptions, labels, and how many series they have.

import { useEffect, useState } from 'preact/hooks'
import { ask, get, lines } from '../lib/api'
import { bytes, count, quote, seriesText } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Result } from '../query/result'
import { isOfSeries, numberOf } from '../query/result'
import { useLoad } from '../ui/load'
import { Facts, Search, Title } from '../ui/page'
import { Check, Failure, Notice, Pick } from '../ui/parts'
import { Link, go, usePlace } from '../ui/router'
import { useSettings } from '../ui/settings'

const spans = [
  { id: '3600', label: 'last hour' },
  { id: '86400', label: 'last day' },
  { id: '604800', label: 'last week' },
  { id: '2592000', label: 'last 30 days' },
]
const namesShown = 200

interface Found {
  name: string
  type?: string
  help?: string
}

/** Asks for one number; null: the expression has no result. */
async function number(query: string, time: number, signal: AbortSignal): Promise<number | null> {
  const { data } = await ask<Result>('api/v1/query', { query, time: String(time) }, signal)
  if (!isOfSeries(data)) return numberOf(data.result[1])
  const value = data.result[0]?.value
  return value === undefined ? null : numberOf(value[1])
}

interface LabelRow {
  name: string
  values: string[]
  isMore: boolean
}

interface Detail {
  series: number | null
  first: number | null
  last: number | null
  labels: LabelRow[]
}

const valuesMax = 100

async function detailOf(metric: string, span: number, signal: AbortSignal): Promise<Detail> {
  const end = Date.now() / 1000
  const selector = seriesText({ __name__: metric })
  const range = `${selector}[${span}s]`
  const times = { start: String(end - span), end: String(end) }
  const names = await get<string[]>('api/v1/labels', { 'match[]': selector, ...times }, signal)
  const [series, first, last, ...labels] = await Promise.all([
    number(`count(last_over_time(${range}))`, end, signal),
    number(`min(ts_of_first_over_time(${range}))`, end, signal).catch(() => null),
    number(`max(ts_of_last_over_time(${range}))`, end, signal).catch(() => null),
    ...names.data
      .filter(n => n !== '__name__')
      .map(async n => {
        const { data } = await get<string[]>(`api/v1/label/${encodeURIComponent(n)}/values`, { 'match[]': selector, ...times, limit: String(valuesMax + 1) }, signal)
        return { name: n, values: data.slice(0, valuesMax), isMore: data.length > valuesMax }
      }),
  ])
  return { series: series as number | null, first: first as number | null, last: last as number | null, labels: labels as LabelRow[] }
}

function MetricDetail(props: { metric: string; span: number }) {
  const [settings] = useSettings()
  const [load, send] = useLoad<Detail>()
  useEffect(() => send(signal => detailOf(props.metric, props.span, signal)), [props.metric, props.span])
  const d = load.value
  const time = (t: number | null) => (t === null ? 'unknown' : formatTime(t, settings.zone))
  return (
    <section class="card" aria-busy={load.isLoading} aria-label={props.metric}>
      <h2>
        <code>{props.metric}</code>{' '}
        <Link to="query" values={new URLSearchParams({ 'g0.expr': seriesText({ __name__: props.metric }), 'g0.tab': 'graph' })}>
          Graph
        </Link>
      </h2>
      {load.error !== null && <Failure error={load.error} />}
      {d === null && load.error === null && <p class="empty">Loading…</p>}
      {d !== null && (
        <>
          <Facts
            rows={[
              ['Series', d.series === null ? '0' : count(d.series)],
              ['First sample', time(d.first)],
              ['Last sample', time(d.last)],
            ]}
          />
          <table>
            <caption>Labels, by their number of values</caption>
            <tbody>
              {[...d.labels]
                .sort((a, b) => b.values.length - a.values.length)
                .map(l => (
                  <tr>
                    <th scope="row">{l.name}</th>
                    <td class="number">{l.isMore ? `more than ${valuesMax}` : count(l.values.length)}</td>
                    <td>
                      {l.values.slice(0, 12).map(v => (
                        <>
                          <Link
                            to="query"
                            values={new URLSearchParams({ 'g0.expr': seriesText({ __name__: props.metric, [l.name]: v }), 'g0.tab': 'graph' })}
                          >
                            <code>{quote(v)}</code>
                          </Link>{' '}
                        </>
                      ))}
                      {l.values.length > 12 && '…'}
                    </td>
                  </tr>
                ))}
            </tbody>
          </table>
        </>
      )}
    </section>
  )
}

interface Sizes {
  exact: boolean
  shareRead: number
  metrics: { value: string; bytes: number; samples: number }[]
}

/** The stored bytes of each metric. The server reads its index for them, so one asks for them. */
function useSizes() {
  const [isWanted, setWanted] = useState(false)
  const [load, send] = useLoad<Sizes>()
  useEffect(() => {
    if (isWanted && load.value === null) send(async signal => (await get<Sizes>('api/v1/status/tsdb/bytes', { limit: '10000' }, signal)).data)
  }, [isWanted])
  const sizes = isWanted ? load.value : null
  const of = new Map(sizes?.metrics.map(m => [m.value, m]))
  return { isWanted, setWanted, sizes, of, error: load.error }
}

export function ExplorePage() {
  const place = usePlace()
  const metric = place.values.get('metric')
  const [text, setText] = useState('')
  const [span, setSpan] = useState('3600')
  const [load, send] = useLoad<Found[]>()
  const { isWanted, setWanted, sizes, of, error } = useSizes()
  useEffect(() => {
    const end = Date.now() / 1000
    send(async signal => {
      const found = await lines<{ results?: Found[] }>(
        'api/v1/search/metric_names',
        {
          'search[]': text === '' ? undefined : text,
          case_sensitive: 'false',
          include_metadata: 'true',
          start: String(end - Number(span)),
          end: String(end),
          limit: String(namesShown),
        },
        signal,
      )
      return found.flatMap(l => l.results ?? [])
    })
  }, [text, span])
  return (
    <>
      <Title text="Explore">
        <Search label="Metric" value={text} onChange={setText} />
        <Pick label="Samples of the" choices={spans} value={span} onChange={setSpan} />
        <Check label="Bytes in parts" value={isWanted} onChange={setWanted} />
      </Title>
      {error !== null && <Failure error={error} />}
      {sizes?.exact === false && <Notice kind="info">Bytes are estimated from {(sizes.shareRead * 100).toPrecision(3)} % of the series in parts.</Notice>}
      {metric !== null && <MetricDetail metric={metric} span={Number(span)} />}
      {load.error !== null && <Failure error={load.error} />}
      {load.value?.length === 0 && <p class="empty">No metric matches.</p>}
      {load.value !== null && load.value.length > 0 && (
        <table aria-busy={load.isLoading}>
          <thead>
            <tr>
              <th scope="col">Metric</th>
              {sizes !== null && (
                <>
                  <th scope="col" class="number">
                    Bytes in parts
                  </th>
                  <th scope="col" class="number">
                    Per sample
                  </th>
                </>
              )}
              <th scope="col">Type</th>
              <th scope="col">Description</th>
            </tr>
          </thead>
          <tbody>
            {load.value.map(f => (
              <tr>
                <td>
                  <button type="button" class="label" onClick={() => go('explore', new URLSearchParams({ metric: f.name }))}>
                    <code>{f.name}</code>
                  </button>
                </td>
                {sizes !== null && (
                  <>
                    <td class="number">{bytes(of.get(f.name)?.bytes ?? 0)}</td>
                    <td class="number">{of.has(f.name) && (of.get(f.name)!.bytes / of.get(f.name)!.samples).toFixed(2)}</td>
                  </>
                )}
                <td>{f.type}</td>
                <td>{f.help}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {(load.value?.length ?? 0) >= namesShown && <p class="empty">The first {namesShown} metrics are shown; narrow the list with the filter.</p>}
    </>
  )
}
