// detail.tsx - one metric: its series, its labels and their values, its growth, and what dropping it
// saves.

import { useEffect, useState } from 'preact/hooks'
import { ask, get } from '../lib/api'
import { serverNow } from '../lib/clock'
import { count, quote, seriesText } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Result } from '../query/result'
import { isOfSeries, numberOf } from '../query/result'
import { useLoad } from '../ui/load'
import { Facts } from '../ui/page'
import { Failure } from '../ui/parts'
import { Link } from '../ui/router'
import { useSettings } from '../ui/settings'
import { Growth } from './growth'
import { Places } from './places'
import { Savings } from './savings'
import { uncounted, usageText, useMaySeeUsage, useUsage } from './usage'

/** Asks for one number; null: the expression has no result. */
export async function number(query: string, time: number, signal: AbortSignal): Promise<number | null> {
  const { data } = await ask<Result>('api/v1/query', { query, time: String(time), ...uncounted }, signal)
  if (!isOfSeries(data)) return numberOf(data.result[1])
  const value = data.result[0]?.value
  return value === undefined ? null : numberOf(value[1])
}

interface Label {
  name: string
  count: number
  isMore: boolean
}

interface Detail {
  series: number
  first: number | null
  last: number | null
  labels: Label[]
}

const valuesMax = 1000
const valuesShown = 12

async function detailOf(metric: string, span: number, signal: AbortSignal): Promise<Detail> {
  const end = serverNow()
  const selector = seriesText({ __name__: metric })
  const range = `${selector}[${span}s]`
  const times = { start: String(end - span), end: String(end), ...uncounted }
  const names = await get<string[]>('api/v1/labels', { 'match[]': selector, ...times }, signal)
  const labelOf = async (name: string) => {
    const { data } = await get<string[]>(`api/v1/label/${encodeURIComponent(name)}/values`, { 'match[]': selector, ...times, limit: String(valuesMax + 1) }, signal)
    return { name, count: Math.min(data.length, valuesMax), isMore: data.length > valuesMax }
  }
  const [series, first, last, labels] = await Promise.all([
    number(`count(last_over_time(${range}))`, end, signal),
    number(`min(ts_of_first_over_time(${range}))`, end, signal).catch(() => null),
    number(`max(ts_of_last_over_time(${range}))`, end, signal).catch(() => null),
    Promise.all(names.data.filter(n => n !== '__name__').map(labelOf)),
  ])
  return { series: series ?? 0, first, last, labels: labels.sort((a, b) => b.count - a.count) }
}

/** The values of a label with the most series. */
function Values(props: { metric: string; label: string; span: number }) {
  const [load, send] = useLoad<[string, number][]>()
  const selector = seriesText({ __name__: props.metric })
  const by = /^[a-zA-Z_]\w*$/.test(props.label) ? props.label : quote(props.label)
  useEffect(() => {
    const query = `topk(${valuesShown}, count by (${by}) (last_over_time(${selector}[${props.span}s])))`
    send(async signal => {
      const { data } = await ask<Result>('api/v1/query', { query, ...uncounted }, signal)
      const rows = isOfSeries(data) ? data.result : []
      return rows.map((s): [string, number] => [s.metric[props.label] ?? '', numberOf(s.value![1])])
    })
  }, [selector, by, props.span])
  if (load.error !== null) return <Failure error={load.error} />
  if (load.value === null) return <p class="empty">Loading…</p>
  return (
    <table class="ranking">
      <caption>Values with the most series</caption>
      <tbody>
        {load.value.map(([value, n]) => (
          <tr>
            <td>
              <Link to="query" values={new URLSearchParams({ 'g0.expr': seriesText({ __name__: props.metric, [props.label]: value }), 'g0.tab': 'graph' })}>
                <code>{quote(value)}</code>
              </Link>
            </td>
            <td class="number">{count(n)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function LabelDetail(props: { metric: string; label: Label; span: number }) {
  const { label } = props
  const [isOpen, setOpen] = useState(false)
  return (
    <details onToggle={e => setOpen(e.currentTarget.open)}>
      <summary>
        <code>{label.name}</code>{' '}
        <small>
          {label.isMore ? `more than ${count(valuesMax)} values` : label.count === 1 ? '1 value' : `${count(label.count)} values`}
        </small>
      </summary>
      {isOpen && <Values metric={props.metric} label={label.name} span={props.span} />}
    </details>
  )
}

export function MetricDetail(props: { metric: string; span: number }) {
  const { metric, span } = props
  const [settings] = useSettings()
  const [load, send] = useLoad<Detail>()
  useEffect(() => send(signal => detailOf(metric, span, signal)), [metric, span])
  const maySeeUsage = useMaySeeUsage()
  const usage = useUsage(maySeeUsage, metric)
  const d = load.value
  const places = <Places metric={metric} span={span} />
  const time = (t: number | null) => (t === null ? 'unknown' : formatTime(t, settings.zone))
  return (
    <section class="card" aria-busy={load.isLoading} aria-label={metric}>
      <h2>
        <code>{metric}</code>{' '}
        <Link to="query" values={new URLSearchParams({ 'g0.expr': seriesText({ __name__: metric }), 'g0.tab': 'graph' })}>
          Graph
        </Link>
      </h2>
      {load.error !== null && (
        <>
          <Failure error={load.error} />
          {places}
        </>
      )}
      {d === null && load.error === null && <p class="empty">Loading…</p>}
      {d !== null && (
        <div class="columns">
          <div>
            <Facts
              rows={[
                ['Series', count(d.series)],
                ['First sample', time(d.first)],
                ['Last sample', time(d.last)],
                ...(maySeeUsage ? [['Used', usage.value === null ? (usage.error?.message ?? '…') : usageText(usage.value.metrics[0], usage.value, settings.zone)] as [string, string]] : []),
              ]}
            />
            {places}
            <h3>Labels</h3>
            {d.labels.length === 0 && <p class="empty">There are none.</p>}
            {d.labels.map(l => (
              <LabelDetail key={l.name} metric={metric} label={l} span={span} />
            ))}
          </div>
          <div>
            <Growth metric={metric} />
            <Savings metric={metric} span={span} series={d.series} labels={d.labels.map(l => l.name)} />
          </div>
        </div>
      )}
    </section>
  )
}
