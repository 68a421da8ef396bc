// saved_file.ts - reads a result or a plan of a query from a file: one that this page has saved, or an
// answer of the API. Nothing in it is trusted: only what has the form of an answer is taken over.

import type { Operator } from './plan'
import { isOfSeries } from './result'
import type { Columns, Histogram, OfSeries, Result, Series } from './result'

export interface Saved {
  /** '' if the file does not have it. */
  query: string
  result: Result | null
  plan: Operator | null
  warnings: string[]
  infos: string[]
}

export const bytesMax = 64 << 20
const resultsMax = 100
const operatorsMax = 10_000
const depthMax = 200
const noticesMax = 100
const noticeLength = 1000
/** Values of a graph; 8 bytes each. */
const valuesMax = 10_000_000
const seriesMax = 20_000
/** The last time that a date of JavaScript can be, in seconds. */
const timeMax = 8.64e12

type Json = Record<string, unknown>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)

class Unreadable extends Error {}

function check(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Unreadable(`The file is not a saved result: ${what}.`)
}

/** A time and something at that time. */
function pairOf<T>(value: unknown, of: (value: unknown) => T): [number, T] {
  check(Array.isArray(value) && isNumber(value[0]), 'a sample has no time')
  check(Math.abs(value[0]) <= timeMax, 'the time of a sample is not in seconds')
  return [value[0], of(value[1])]
}

function numberText(value: unknown): string {
  check(isText(value) && value !== '' && (/^[+-]?Inf$/.test(value) || value === 'NaN' || !Number.isNaN(Number(value))), 'a sample has no value')
  return value
}

function histogramOf(value: unknown): Histogram {
  check(isObject(value), 'a histogram is not an object')
  const buckets = value['buckets'] ?? []
  check(Array.isArray(buckets), 'the buckets of a histogram are not a list')
  return {
    count: numberText(value['count']),
    sum: numberText(value['sum']),
    buckets: buckets.map((b: unknown) => {
      check(Array.isArray(b) && isNumber(b[0]), 'a bucket has no bounds')
      return [b[0], numberText(b[1]), numberText(b[2]), numberText(b[3])]
    }),
  }
}

function listOf<T>(value: unknown, of: (value: unknown) => T): T[] | undefined {
  if (value === undefined) return undefined
  check(Array.isArray(value), 'samples are not a list')
  return value.map(of)
}

function seriesOf(value: unknown): Series {
  check(isObject(value) && isObject(value['metric']), 'a series has no labels')
  const labels = Object.entries(value['metric'])
  check(labels.every(([, v]) => isText(v)), 'a label is not a text')
  const { value: one, histogram, values, histograms } = value
  return {
    metric: Object.fromEntries(labels) as Record<string, string>,
    ...(one !== undefined && { value: pairOf(one, numberText) }),
    ...(histogram !== undefined && { histogram: pairOf(histogram, histogramOf) }),
    ...(values !== undefined && { values: listOf(values, v => pairOf(v, numberText))! }),
    ...(histograms !== undefined && { histograms: listOf(histograms, v => pairOf(v, histogramOf))! }),
  }
}

function resultOf(value: Json): Result {
  const { resultType, result } = value
  check(Array.isArray(result), 'it has no result')
  if (resultType === 'scalar' || resultType === 'string') {
    return { resultType, result: pairOf(result, v => (check(isText(v), 'a value is not a text'), v)) }
  }
  check(resultType === 'vector' || resultType === 'matrix', 'the type of the result is unknown')
  return { resultType, result: result.map(seriesOf) }
}

function planOf(value: unknown, depth: number, left: { operators: number }): Operator {
  check(depth <= depthMax && left.operators-- > 0, 'the plan is too large')
  check(isObject(value) && isText(value['operator']), 'an operator of the plan has no name')
  const figure = (name: string) => (isNumber(value[name]) ? value[name] : null)
  const children = value['children'] ?? []
  check(Array.isArray(children), 'parts of an operator are not a list')
  return {
    operator: value['operator'],
    detail: isText(value['detail']) ? value['detail'] : '',
    series: figure('series'),
    blocks: figure('blocks'),
    samples: figure('samples'),
    bytes: figure('bytes'),
    ...(typeof value['exact'] === 'boolean' && { exact: value['exact'] }),
    ...(isNumber(value['ms']) && { ms: value['ms'] }),
    ...(isNumber(value['peak_bytes']) && { peak_bytes: value['peak_bytes'] }),
    children: children.map(c => planOf(c, depth + 1, left)),
  }
}

function noticesOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(isText).slice(0, noticesMax).map(text => text.slice(0, noticeLength)) : []
}

function savedOf(value: unknown): Saved {
  check(isObject(value), 'it has neither a result nor a plan')
  // As the API answers.
  if (value['status'] === 'error') check(false, `the server answered ${JSON.stringify(String(value['error']).slice(0, 200))}`)
  const notices = { warnings: noticesOf(value['warnings']), infos: noticesOf(value['infos']) }
  if (value['status'] === 'success' && isObject(value['data'])) return { ...savedOf(value['data']), ...notices }
  const query = isText(value['query']) ? value['query'] : ''
  if (value['operator'] !== undefined) return { query, result: null, plan: planOf(value, 0, { operators: operatorsMax }), ...notices }
  check(value['resultType'] !== undefined, 'it has neither a result nor a plan')
  return { query, result: resultOf(value), plan: null, ...notices }
}

/** Reads all results of a file; throws an error in words. */
export async function readSaved(file: File): Promise<Saved[]> {
  if (file.size > bytesMax) throw new Unreadable(`The file is larger than ${bytesMax >> 20} MiB.`)
  let value: unknown
  try {
    value = JSON.parse(await file.text())
  } catch {
    throw new Unreadable('The file is not JSON.')
  }
  const all = Array.isArray(value) ? value : [value]
  check(all.length > 0 && all.length <= resultsMax, `it has ${all.length} results`)
  try {
    return all.map(savedOf)
  } catch (e) {
    throw e instanceof Unreadable ? e : new Unreadable('The file is not a saved result.')
  }
}

/** A result over a range as columns, with the least distance of two times. */
export interface Table {
  columns: Columns
  step: number
}

/** Returns null if it has no samples over a range; 'large' if it has too many series or samples for a graph. */
export function tableOf(result: Result): Table | 'large' | null {
  if (!isOfSeries(result) || result.resultType !== 'matrix') return null
  if (result.result.length > seriesMax) return 'large'
  const all = new Set<number>()
  const samplesOf = (s: Series): [number, number][] => [
    ...(s.values ?? []).map(([t, v]): [number, number] => [t, Number(v.replace('Inf', 'Infinity'))]),
    ...(s.histograms ?? []).map(([t, h]): [number, number] => [t, Number(h.sum.replace('Inf', 'Infinity'))]),
  ]
  for (const s of result.result) {
    for (const [t] of s.values ?? []) all.add(t)
    for (const [t] of s.histograms ?? []) all.add(t)
  }
  if (all.size === 0) return null
  if (all.size * result.result.length > valuesMax) return 'large'
  const times = Float64Array.from(all).sort()
  const at = new Map(Array.from(times, (t, i) => [t, i]))
  const values = result.result.map(s => {
    const column = new Float64Array(times.length).fill(NaN)
    for (const [t, v] of samplesOf(s)) if (Number.isFinite(v)) column[at.get(t)!] = v
    return column
  })
  let step = Infinity
  for (let i = 1; i < times.length; i++) step = Math.min(step, times[i]! - times[i - 1]!)
  return { columns: { times, values }, step: Number.isFinite(step) ? step : 1 }
}

/** The part of a table from one time to another. */
export function cut(columns: Columns, start: number, end: number): Columns {
  const from = columns.times.findIndex(t => t >= start)
  const after = columns.times.findIndex(t => t > end)
  const [a, b] = [from < 0 ? columns.times.length : from, after < 0 ? columns.times.length : after]
  return { times: columns.times.slice(a, b), values: columns.values.map(v => v.slice(a, b)) }
}

/** The series without their values, which are in columns. */
export function withoutValues(result: OfSeries): OfSeries {
  return { ...result, result: result.result.map(s => ({ metric: s.metric, ...(s.histograms !== undefined && { histograms: s.histograms }) })) }
}
