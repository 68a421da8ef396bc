// exemplars.tsx - the exemplars of a graph: dots in it, and a list with links to traces.

import { ApiError, ask } from '../lib/api'
import { count, seriesText } from '../lib/format'
import type { Labels } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { Field } from '../ui/parts'
import { useSettings } from '../ui/settings'
import { numberOf } from './result'

export interface Exemplar {
  series: Labels
  labels: Labels
  value: number
  time: number
}

const most = 1000
const listed = 100

/** Asks for the exemplars of an expression; one without selectors has none. */
export async function fetchExemplars(query: string, start: number, end: number, signal: AbortSignal): Promise<Exemplar[]> {
  type Found = { seriesLabels: Labels; exemplars: { labels: Labels; value: string; timestamp: number }[] }[]
  try {
    const { data } = await ask<Found>('api/v1/query_exemplars', { query, start: String(start), end: String(end) }, signal)
    return data
      .flatMap(s => s.exemplars.map(e => ({ series: s.seriesLabels, labels: e.labels, value: numberOf(e.value), time: e.timestamp })))
      .filter(e => Number.isFinite(e.value))
      .sort((a, b) => a.time - b.time)
  } catch (e) {
    if (e instanceof ApiError && e.status === 204) return []
    throw e
  }
}

/** Leaves of the exemplars at most `most`, evenly over time. */
export function drawn(exemplars: Exemplar[]): Exemplar[] {
  const every = Math.ceil(exemplars.length / most)
  return every <= 1 ? exemplars : exemplars.filter((_, i) => i % every === 0)
}

/** Makes the address of a trace; null: the template is empty or no web address, or a label is missing. */
export function traceUrl(template: string, labels: Labels): string | null {
  let isMissing = false
  const text = template.replace(/\{([^{}]+)\}/g, (_, name: string) => {
    isMissing ||= labels[name] === undefined
    return encodeURIComponent(labels[name] ?? '')
  })
  return !isMissing && isTraceUrl(text) ? text : null
}

function isTraceUrl(text: string): boolean {
  return /^https?:\/\/[^/]/.test(text) && URL.canParse(text)
}

export function TraceLink(props: { labels: Labels }) {
  const [settings] = useSettings()
  const url = traceUrl(settings.traceUrl, props.labels)
  if (url === null) return null
  return (
    <a href={url} target="_blank" rel="noreferrer noopener">
      Trace
    </a>
  )
}

export function ExemplarList(props: { exemplars: Exemplar[]; zone: Zone }) {
  const [settings, change] = useSettings()
  const { exemplars } = props
  if (exemplars.length === 0) return <p class="empty">The series have no exemplars in this range.</p>
  return (
    <details class="exemplars">
      <summary>
        {count(exemplars.length)} exemplar{exemplars.length === 1 ? '' : 's'}
        {exemplars.length > listed && `; the last ${listed} are listed`}
      </summary>
      <Field
        label="Trace URL"
        size={40}
        placeholder="https://traces.example.com/trace/{trace_id}"
        value={settings.traceUrl}
        wrong={t => t !== '' && !isTraceUrl(t.replace(/[{}]/g, ''))}
        onChange={t => change({ traceUrl: t.trim() })}
      />
      <div class="scroll" role="region" tabIndex={0} aria-label="Exemplars">
        <table>
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col" class="number">
                Value
              </th>
              <th scope="col">Exemplar</th>
              <th scope="col">Series</th>
            </tr>
          </thead>
          <tbody>
            {exemplars
              .slice(-listed)
              .reverse()
              .map(e => (
                <tr>
                  <td>{formatTime(e.time, props.zone)}</td>
                  <td class="number">{e.value}</td>
                  <td>
                    <code>{seriesText(e.labels)}</code> <TraceLink labels={e.labels} />
                  </td>
                  <td>
                    <code>{seriesText(e.series)}</code>
                  </td>
                </tr>
              ))}
          </tbody>
        </table>
      </div>
    </details>
  )
}
