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

/** The times of all series together, and for each series its values there; null: none. */
export interface Columns {
  times: number[]
  values: (number | null)[][]
}

/**
 * Puts the series of a matrix on common times, which are steps from `start` to `end`: a step without
 * a sample is a gap in the line.
 */
export function columnsOf(series: Series[], start: number, end: number, step: number): Columns {
  const size = Math.floor((end - start) / step + 1e-6) + 1
  const times = Array.from({ length: size }, (_, i) => start + i * step)
  const values = series.map(s => {
    const column: (number | null)[] = new Array(size).fill(null)
    for (const [t, text] of s.values ?? []) {
      const at = Math.round((t - start) / step)
      const v = numberOf(text)
      if (at >= 0 && at < size && Number.isFinite(v)) column[at] = v
    }
    for (const [t, h] of s.histograms ?? []) {
      const at = Math.round((t - start) / step)
      const v = numberOf(h.sum)
      if (at >= 0 && at < size && Number.isFinite(v)) column[at] = v
    }
    return column
  })
  return { times, values }
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
  const times: number[] = []
  const values: (number | null)[][] = columns.values.map(() => [])
  for (let begin = 0; begin < size; begin += width) {
    const end = Math.min(begin + width, size)
    times.push(columns.times[begin]!, columns.times[end - 1]!)
    columns.values.forEach((column, s) => {
      let least = -1
      let greatest = -1
      for (let i = begin; i < end; i++) {
        const v = column[i]
        if (v === null || v === undefined) continue
        if (least < 0 || v < column[least]!) least = i
        if (greatest < 0 || v > column[greatest]!) greatest = i
      }
      const [first, second] = least <= greatest ? [least, greatest] : [greatest, least]
      values[s]!.push(first < 0 ? null : column[first]!, second < 0 ? null : column[second]!)
    })
  }
  return { times, values }
}

/** Adds each series to those before it; a gap counts as 0. */
export function stack(columns: Columns): Columns {
  const sum = new Array(columns.times.length).fill(0)
  return {
    times: columns.times,
    values: columns.values.map(column => column.map((v, i) => (sum[i] += v ?? 0))),
  }
}
