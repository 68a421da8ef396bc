// growth.tsx - how many series a metric had on each of the last days, how many were new, and how many
// went away. The server reads a week for it, so one asks for it.

import { ask } from '../lib/api'
import { serverNow } from '../lib/clock'
import { count, seriesText } from '../lib/format'
import { formatTime } from '../lib/time'
import type { OfSeries } from '../query/result'
import { numberOf } from '../query/result'
import { useLoad } from '../ui/load'
import { Failure } from '../ui/parts'
import { useSettings } from '../ui/settings'
import { uncounted } from './usage'

const days = 7
const day = 86400

interface Day {
  end: number
  series: number
  added: number
  gone: number
  samples: number
}

async function daysOf(metric: string, signal: AbortSignal): Promise<Day[]> {
  const end = Math.floor(serverNow())
  const selector = seriesText({ __name__: metric })
  const now = `last_over_time(${selector}[1d])`
  const before = `last_over_time(${selector}[1d] offset 1d)`
  const eachDay = async (query: string) => {
    const values = { query, start: String(end - (days - 1) * day), end: String(end), step: String(day), ...uncounted }
    const { data } = await ask<OfSeries>('api/v1/query_range', values, signal)
    return new Map((data.result[0]?.values ?? []).map(([t, v]) => [t, numberOf(v)]))
  }
  const [series, added, gone, samples] = await Promise.all(
    [`count(${now})`, `count(${now} unless ${before})`, `count(${before} unless ${now})`, `sum(count_over_time(${selector}[1d]))`].map(eachDay),
  )
  return Array.from({ length: days }, (_, i) => end - i * day).map(t => ({
    end: t,
    series: series!.get(t) ?? 0,
    added: added!.get(t) ?? 0,
    gone: gone!.get(t) ?? 0,
    samples: samples!.get(t) ?? 0,
  }))
}

export function Growth(props: { metric: string }) {
  const [{ zone }] = useSettings()
  const [load, send] = useLoad<Day[]>()
  return (
    <section aria-label="Growth and churn" aria-busy={load.isLoading}>
      <h3>Growth and churn</h3>
      {load.error !== null && <Failure error={load.error} />}
      {load.value === null ? (
        <button type="button" disabled={load.isLoading} onClick={() => send(signal => daysOf(props.metric, signal))}>
          Count the series of {days} days
        </button>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">24 hours until</th>
                <th scope="col" class="number">
                  Series
                </th>
                <th scope="col" class="number">
                  New
                </th>
                <th scope="col" class="number">
                  Gone
                </th>
                <th scope="col" class="number">
                  Samples
                </th>
              </tr>
            </thead>
            <tbody>
              {load.value.map(d => (
                <tr>
                  <th scope="row">{formatTime(d.end, zone)}</th>
                  <td class="number">{count(d.series)}</td>
                  <td class="number">{count(d.added)}</td>
                  <td class="number">{count(d.gone)}</td>
                  <td class="number">{count(d.samples)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
