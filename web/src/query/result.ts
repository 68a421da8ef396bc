// result.ts - answers of the query routes, and the columns of a graph made of them.

import type { Labels } from '../lib/format'

export interface Histogram {
  count: string
  sum: string
  buckets?: [number, string, string, string][]
}

export interface Series {
  metric: Labels
  value?: [number, string]
  histogram?: [number, Histogram]
  values?: [number, string][]
  histograms?: [number, Histogram][]
}

export interface OfSeries {
  resultType: 'vector' | 'matrix'
  result: Series[]
  stats?: Stats
}

export interface OfOne {
  resultType: 'scalar' | 'string'
  result: [number, string]
  stats?: Stats
}

export type Result = OfSeries | OfOne

export function isOfSeries(result: Result): result is OfSeries {
  return result.resultType === 'vector' || result.resultType === 'matrix'
}

export interface Stats {
  timings: Record<string, number>
  cost?: { seriesRead: number; samplesRead: number; bytesRead: number; peakSamples: number; peakBytes?: number; steps: number; cachedSteps: number }
}

/** Reads a sample value of the API. */
export function numberOf(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Infinity
  if (text === '-Inf') return -Infinity
  return Number(text)
}

/** The steps of a graph, and for each series its values there; NaN: none. */
export interface Columns {
  times: Float64Array
  values: Float64Array[]
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400]

/** The least step of a round length in seconds that is at least so long. */
export function roundStep(least: number): number {
  return steps.find(s => s >= least) ?? Math.ceil(least / 86400) * 86400
}

/** Thins columns to the least and the greatest value of each of `pixels` intervals, in their order. */
export function thin(columns: Columns, pixels: number): Columns {
  const size = columns.times.length
  const width = Math.ceil(size / pixels)
  if (width <= 2) return columns
  const pairs = Math.ceil(size / width)
  const times = new Float64Array(2 * pairs)
  for (let p = 0; p < pairs; p++) {
    times[2 * p] = columns.times[p * width]!
    times[2 * p + 1] = columns.times[Math.min((p + 1) * width, size) - 1]!
  }
  const values = columns.values.map(column => {
    const thinned = new Float64Array(2 * pairs).fill(NaN)
    for (let p = 0; p < pairs; p++) {
      let least = -1
      let greatest = -1
      for (let i = p * width; i < Math.min((p + 1) * width, size); i++) {
        const v = column[i]!
        if (Number.isNaN(v)) continue
        if (least < 0 || v < column[least]!) least = i
        if (greatest < 0 || v > column[greatest]!) greatest = i
      }
      if (least < 0) continue
      thinned[2 * p] = column[Math.min(least, greatest)]!
      thinned[2 * p + 1] = column[Math.max(least, greatest)]!
    }
    return thinned
  })
  return { times, values }
}

/** Adds each series that is shown to those before it; a gap counts as 0. */
export function stack(columns: Columns, isShown: (i: number) => boolean): Columns {
  const sum = new Float64Array(columns.times.length)
  const values = columns.values.map((column, i) => {
    if (isShown(i)) column.forEach((v, at) => (sum[at]! += Number.isNaN(v) ? 0 : v))
    return sum.slice()
  })
  return { times: columns.times, values }
}

/** The last value of a column; NaN: it has none. */
export function lastOf(column: Float64Array): number {
  let at = column.length - 1
  while (at > 0 && Number.isNaN(column[at]!)) at--
  return column[at] ?? NaN
}

/** The least, mean and greatest value of a column; null: it has none. */
export function summaryOf(column: Float64Array): { least: number; mean: number; greatest: number } | null {
  let [least, greatest, sum, n] = [Infinity, -Infinity, 0, 0]
  for (const v of column) {
    if (Number.isNaN(v)) continue
    least = Math.min(least, v)
    greatest = Math.max(greatest, v)
    sum += v
    n++
  }
  return n === 0 ? null : { least, mean: sum / n, greatest }
}
