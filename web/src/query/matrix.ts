// matrix.ts - reads the answer of a range query series by series while it arrives. Of thousands of
// series only the columns of numbers are kept: all samples as objects take ten times the memory.

import { formOf, open } from '../lib/api'
import type { Answer } from '../lib/api'
import { numberOf } from './result'
import type { Columns, OfSeries, Series } from './result'

export interface Grid {
  start: number
  end: number
  step: number
}

/** Series without their values, which are in the columns. */
export interface Matrix {
  answer: Answer<OfSeries>
  columns: Columns
}

const ascii = (text: string) => new TextEncoder().encode(text)

/** Each series begins with this; a text in JSON cannot have it, because its quotes are escaped. */
const seriesMark = ascii('{"metric":{')
const valuesMark = ascii('"values":[[')
/** What comes after the last series. */
const statsMark = ascii('],"stats":{')

interface Envelope {
  data: OfSeries
  warnings?: string[]
  infos?: string[]
}

const powers = Array.from({ length: 16 }, (_, i) => 10 ** i)
const digitsMax = 15

const utf8 = new TextDecoder()

/** Finds a mark in bytes, from a position; -1: it is not there. The native search for its first byte
 * passes over the numbers. */
function find(bytes: Uint8Array, mark: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(mark[0]!, from); at >= 0; at = bytes.indexOf(mark[0]!, at + 1)) {
    let n = 1
    while (n < mark.length && bytes[at + n] === mark[n]) n++
    if (n === mark.length) return at
  }
  return -1
}

const quote = 34
const comma = 44
const minus = 45
const dot = 46
const zero = 48
const nine = 57

/** Says whether a number ends before this byte. */
function isEnd(c: number | undefined): boolean {
  return c === quote || c === comma || c === undefined
}

/** Reads numbers of a text in their order, without a text of its own for each. */
class Numbers {
  constructor(
    private readonly bytes: Uint8Array,
    public position: number,
  ) {}

  /** Skips bytes before the number, and returns it. */
  next(skipped: number): number {
    const bytes = this.bytes
    const begin = this.position + skipped
    const isNegative = bytes[begin] === minus
    let at = isNegative ? begin + 1 : begin
    let whole = 0
    let digits = 0
    let point = -1
    for (; ; at++) {
      const c = bytes[at]!
      if (c >= zero && c <= nine) {
        whole = whole * 10 + (c - zero)
        digits++
      } else if (c === dot && point < 0) {
        point = digits
      } else break
    }
    if (digits > 0 && digits <= digitsMax && isEnd(bytes[at])) {
      this.position = at
      // A quotient of two numbers that are exact is rounded as the decimal number is.
      const value = point < 0 ? whole : whole / powers[digits - point]!
      return isNegative ? -value : value
    }
    while (!isEnd(bytes[at])) at++
    this.position = at
    return numberOf(utf8.decode(bytes.subarray(begin, at)))
  }
}

/** Says which of the steps is at a time; -1: none. */
function stepAt(t: number, grid: Grid, size: number): number {
  const at = Math.round((t - grid.start) / grid.step)
  return at >= 0 && at < size ? at : -1
}

/** Moves the samples of a series, in JSON, into a column; a step without a number has NaN. */
function readColumn(bytes: Uint8Array, grid: Grid, times: Float64Array): [Series, Float64Array] {
  const column = new Float64Array(times.length).fill(NaN)
  /** The step of the next sample, if none is missing. */
  let next = 0
  const put = (t: number, v: number) => {
    const at = t === times[next] ? next : stepAt(t, grid, times.length)
    next = at + 1
    if (at >= 0 && Number.isFinite(v)) column[at] = v
  }
  const begin = find(bytes, valuesMark, 0)
  let text = utf8.decode(begin < 0 ? bytes : bytes.subarray(0, begin))
  if (begin >= 0) {
    const numbers = new Numbers(bytes, begin + valuesMark.length)
    // [[t,"v"],[t,"v"]]: what is skipped is `,"` before a value, and `"],[` before a time.
    put(numbers.next(0), numbers.next(2))
    while (bytes[numbers.position + 2] === comma) put(numbers.next(4), numbers.next(2))
    text += '"values":[' + utf8.decode(bytes.subarray(numbers.position + 2))
  }
  const s = JSON.parse(text) as Series
  for (const [t, h] of s.histograms ?? []) put(t, numberOf(h.sum))
  return [{ metric: s.metric, histograms: s.histograms }, column]
}

/** Calls `each` with the text of every series, and returns the text without them. */
async function readSeries(response: Response, each: (series: Uint8Array) => void): Promise<{ text: string; bytes: number }> {
  const reader = response.body!.getReader()
  let head: string | null = null
  /** What has arrived of the series that is not complete. */
  let rest = new Uint8Array(1 << 20)
  let size = 0
  let bytes = 0
  for (let r = await reader.read(); !r.done; r = await reader.read()) {
    bytes += r.value.length
    if (size + r.value.length > rest.length) {
      const larger = new Uint8Array(2 * (size + r.value.length))
      larger.set(rest.subarray(0, size))
      rest = larger
    }
    rest.set(r.value, size)
    const filled = rest.subarray(0, size + r.value.length)
    // The end of what was there before may be the first half of a mark.
    const from = Math.max(head === null ? 0 : 1, size - seriesMark.length)
    let begin = 0
    for (let at = find(filled, seriesMark, from); at >= 0; at = find(filled, seriesMark, at + 1)) {
      if (head === null) head = utf8.decode(filled.subarray(0, at))
      else each(filled.subarray(begin, at - 1))
      begin = at
    }
    rest.copyWithin(0, begin, filled.length)
    size = filled.length - begin
  }
  const last = rest.subarray(0, size)
  if (head === null) return { text: utf8.decode(last), bytes }
  const end = find(last, statsMark, 0)
  each(last.subarray(0, end))
  return { text: head + utf8.decode(last.subarray(end)), bytes }
}

export async function askMatrix(values: Record<string, string | undefined>, grid: Grid, signal: AbortSignal): Promise<Matrix> {
  const size = Math.floor((grid.end - grid.start) / grid.step + 1e-6) + 1
  const times = Float64Array.from({ length: size }, (_, i) => grid.start + i * grid.step)
  const series: Series[] = []
  const columns: Float64Array[] = []
  const response = await open('api/v1/query_range', { body: formOf(values), signal })
  const { text, bytes } = await readSeries(response, part => {
    const [s, column] = readColumn(part, grid, times)
    series.push(s)
    columns.push(column)
  })
  const { data, warnings, infos } = JSON.parse(text) as Envelope
  return {
    answer: { data: { ...data, result: series }, warnings: warnings ?? [], infos: infos ?? [], bytes },
    columns: { times, values: columns },
  }
}
