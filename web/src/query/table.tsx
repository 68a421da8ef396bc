// table.tsx - the answer of an instant query, or raw samples, as a table.

import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { seriesText, short } from '../lib/format'
import type { Labels } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { isOfSeries, summaryOf } from './result'
import type { Columns, Histogram, Result, Series } from './result'

const rowsShown = 1000

/** A series whose label values narrow the expression when they are clicked. */
export function SeriesName(props: { metric: Labels; onFilter?: (name: string, value: string) => void }) {
  const { onFilter } = props
  if (onFilter === undefined) return <code>{seriesText(props.metric)}</code>
  const { __name__: name, ...labels } = props.metric
  const parts: ComponentChildren[] = []
  for (const [n, v] of Object.entries(labels)) {
    if (parts.length > 0) parts.push(', ')
    parts.push(
      <button type="button" class="label" title={`Only ${n}="${v}"`} onClick={() => onFilter(n, v)}>
        {n}=<q>{v}</q>
      </button>,
    )
  }
  return (
    <code>
      {name}
      {parts.length > 0 || name === undefined ? <>{'{'}{parts}{'}'}</> : null}
    </code>
  )
}

export function HistogramBars(props: { histogram: Histogram }) {
  const h = props.histogram
  const most = Math.max(...(h.buckets ?? []).map(b => Number(b[3])), 0)
  return (
    <details class="histogram">
      <summary>
        count {h.count}, sum {h.sum}
      </summary>
      <table>
        <tbody>
          {(h.buckets ?? []).map(([bounds, low, high, n]) => (
            <tr>
              <td>
                {bounds === 1 || bounds === 3 ? '[' : '('}
                {low} → {high}
                {bounds === 0 || bounds === 3 ? ']' : ')'}
              </td>
              <td class="number">{n}</td>
              <td>
                <meter min={0} max={most} value={Number(n)} aria-label={`${n} of at most ${most}`} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  )
}

function Values(props: { series: Series; zone: Zone }) {
  const s = props.series
  if (s.value !== undefined) return <>{s.value[1]}</>
  if (s.histogram !== undefined) return <HistogramBars histogram={s.histogram[1]} />
  return (
    <ul class="samples">
      {(s.values ?? []).map(([t, v]) => (
        <li>
          {v} <small>@ {formatTime(t, props.zone)}</small>
        </li>
      ))}
      {(s.histograms ?? []).map(([t, h]) => (
        <li>
          <HistogramBars histogram={h} /> <small>@ {formatTime(t, props.zone)}</small>
        </li>
      ))}
    </ul>
  )
}

export function ResultTable(props: { data: Result; zone: Zone; onFilter?: (name: string, value: string) => void }) {
  const [all, setAll] = useState(false)
  const d = props.data
  if (!isOfSeries(d)) {
    return (
      <table class="result">
        <tbody>
          <tr>
            <td>{d.resultType}</td>
            <td class="number">{d.result[1]}</td>
          </tr>
        </tbody>
      </table>
    )
  }
  if (d.result.length === 0) return <p class="empty">The expression has no result at this time.</p>
  const rows = all ? d.result : d.result.slice(0, rowsShown)
  return (
    <>
      <table class="result">
        <thead>
          <tr>
            <th scope="col">Series</th>
            <th scope="col" class="number">
              Value
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(s => (
            <tr>
              <td>
                <SeriesName metric={s.metric} onFilter={props.onFilter} />
              </td>
              <td class="number">
                <Values series={s} zone={props.zone} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length < d.result.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {d.result.length} series
        </button>
      )}
    </>
  )
}

function rank(value: number): number {
  return Number.isNaN(value) ? -Infinity : value
}

function Summary(props: { column: Float64Array }) {
  const s = useMemo(() => summaryOf(props.column), [props.column])
  return (
    <>
      {(s === null ? ['', '', ''] : [short(s.least), short(s.mean), short(s.greatest)]).map(text => (
        <td class="number summary">{text}</td>
      ))}
    </>
  )
}

/** The legend below a graph: values at the pointer, or the last ones. */
export function Legend(props: {
  series: Series[]
  colours: string[]
  /** The values of each series, and those at the pointer or the last ones. */
  columns: Columns
  values: Float64Array
  valuesAre: string
  shown: Set<number> | null
  onShow: (shown: Set<number> | null) => void
  onFilter?: (name: string, value: string) => void
}) {
  const most = 50
  const order = props.series.map((_, i) => i)
  if (props.series.length > most) order.sort((a, b) => rank(props.values[b]!) - rank(props.values[a]!))
  const toggle = (i: number, only: boolean) => {
    if (only) {
      const isOnly = props.shown?.size === 1 && props.shown.has(i)
      props.onShow(isOnly ? null : new Set([i]))
      return
    }
    const next = new Set(props.shown ?? order)
    if (!next.delete(i)) next.add(i)
    props.onShow(next.size === props.series.length ? null : next)
  }
  return (
    <table class="legend">
      <caption>{props.series.length > most ? `${most} of ${props.series.length} series, greatest first` : `${props.series.length} series`}</caption>
      <thead>
        <tr>
          <td />
          <th scope="col">Series</th>
          {['Least', 'Mean', 'Greatest', props.valuesAre].map(name => (
            <th scope="col" class="number">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {order.slice(0, most).map(i => (
          <tr class={props.shown === null || props.shown.has(i) ? '' : 'hidden'}>
            <td>
              <button
                type="button"
                class="swatch"
                aria-pressed={props.shown === null || props.shown.has(i)}
                aria-label={`Show ${seriesText(props.series[i]!.metric)}`}
                title="Click: only this series; Ctrl+click: switch it on or off"
                onClick={e => toggle(i, !(e.ctrlKey || e.metaKey))}
                style={{ backgroundColor: props.colours[i] }}
              />
            </td>
            <td>
              <SeriesName metric={props.series[i]!.metric} onFilter={props.onFilter} />
            </td>
            <Summary column={props.columns.values[i]!} />
            <td class="number">{Number.isNaN(props.values[i]!) ? '' : short(props.values[i]!)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
