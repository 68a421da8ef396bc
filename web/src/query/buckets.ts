// buckets.ts - the buckets of native and classic histograms, added up over series.

import { numberOf } from './result'
import type { Columns, Series } from './result'

export interface Bucket {
  low: number
  high: number
  count: number
}

/** The buckets at one time, upwards; none is empty. */
export interface Column {
  time: number
  buckets: Bucket[]
}

export function isClassic(series: Series[]): boolean {
  return series.length > 1 && series.every(s => s.metric['le'] !== undefined && s.histograms === undefined)
}

function sorted(columns: Map<number, Map<string, Bucket>>): Column[] {
  return [...columns.entries()]
    .map(([time, buckets]) => ({ time, buckets: [...buckets.values()].filter(b => b.count > 0).sort((a, b) => a.low - b.low) }))
    .filter(c => c.buckets.length > 0)
    .sort((a, b) => a.time - b.time)
}

function native(series: Series[]): Column[] {
  const columns = new Map<number, Map<string, Bucket>>()
  for (const s of series) {
    for (const [time, h] of s.histograms ?? []) {
      let column = columns.get(time)
      if (column === undefined) columns.set(time, (column = new Map()))
      for (const [, low, high, n] of h.buckets ?? []) {
        const key = `${low} ${high}`
        const known = column.get(key)
        if (known !== undefined) known.count += numberOf(n)
        else column.set(key, { low: numberOf(low), high: numberOf(high), count: numberOf(n) })
      }
    }
  }
  return sorted(columns)
}

/** The buckets of `le` count all below their bound; what is shown is the difference to the one below. */
function classic(series: Series[], { times, values }: Columns): Column[] {
  const bounds = new Map<number, Map<number, number>>()
  series.forEach((s, i) => {
    const le = numberOf(s.metric['le']!)
    values[i]!.forEach((v, at) => {
      if (Number.isNaN(v)) return
      const time = times[at]!
      let sums = bounds.get(time)
      if (sums === undefined) bounds.set(time, (sums = new Map()))
      sums.set(le, (sums.get(le) ?? 0) + v)
    })
  })
  const columns = new Map<number, Map<string, Bucket>>()
  for (const [time, at] of bounds) {
    const column = new Map<string, Bucket>()
    let low = -Infinity
    let below = 0
    for (const [le, n] of [...at].sort((a, b) => a[0] - b[0])) {
      column.set(String(le), { low: low === -Infinity && le > 0 ? 0 : low, high: le, count: n - below })
      low = le
      below = n
    }
    columns.set(time, column)
  }
  return sorted(columns)
}

/** The buckets of all series at each time. */
export function bucketsOf(series: Series[], columns: Columns): Column[] {
  return isClassic(series) ? classic(series, columns) : native(series)
}
