// table.tsx - the answer of an instant query, or raw samples, as a table.

import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { seriesText } from '../lib/format'
import type { Labels } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { numbered } from '../ui/page'
import { isOfSeries } from './result'
import type { Histogram, Result, Series } from './result'

const rowsShown = 1000
/** Samples of all rows that are shown at first, and of one row. */
const samplesShown = 20_000
const samplesOfRow = 10_000

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

function sizeOf(s: Series): number {
  return (s.values?.length ?? 0) + (s.histograms?.length ?? 0)
}

/** The series of the rows that are shown at first. */
function firstOf(all: Series[]): Series[] {
  let samples = 0
  const end = all.slice(0, rowsShown).findIndex(s => (samples += sizeOf(s)) > samplesShown)
  return all.slice(0, end < 0 ? rowsShown : Math.max(end, 1))
}

function Values(props: { series: Series; zone: Zone }) {
  const s = props.series
  if (s.value !== undefined) return <>{s.value[1]}</>
  if (s.histogram !== undefined) return <HistogramBars histogram={s.histogram[1]} />
  const rest = sizeOf(s) - samplesOfRow
  return (
    <ul class="samples">
      {(s.values ?? []).slice(0, samplesOfRow).map(([t, v]) => (
        <li>
          {v} <small>@ {formatTime(t, props.zone)}</small>
        </li>
      ))}
      {(s.histograms ?? []).slice(0, Math.max(0, samplesOfRow - (s.values?.length ?? 0))).map(([t, h]) => (
        <li>
          <HistogramBars histogram={h} /> <small>@ {formatTime(t, props.zone)}</small>
        </li>
      ))}
      {rest > 0 && <li>and {numbered(rest, 'more sample')}</li>}
    </ul>
  )
}

/** The answer as the API has it; it is written when it is opened. */
function Json(props: { data: Result }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <details onToggle={e => setOpen(e.currentTarget.open)}>
      <summary>JSON</summary>
      {isOpen && (
        <pre tabIndex={0} role="region" aria-label="JSON">
          {JSON.stringify(props.data, null, 1)}
        </pre>
      )}
    </details>
  )
}

export function ResultTable(props: { data: Result; zone: Zone; onFilter?: (name: string, value: string) => void }) {
  const [all, setAll] = useState(false)
  const d = props.data
  if (!isOfSeries(d)) {
    return (
      <>
        <table class="result">
          <tbody>
            <tr>
              <td>{d.resultType}</td>
              <td class="number">{d.result[1]}</td>
            </tr>
          </tbody>
        </table>
        <Json data={d} />
      </>
    )
  }
  if (d.result.length === 0) return <p class="empty">The expression has no result at this time.</p>
  const rows = all ? d.result : firstOf(d.result)
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
      <Json data={d} />
    </>
  )
}
