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

/** Each series begins with this; a text in JSON cannot have it, because its quotes are escaped. */
const seriesMark = '{"metric":{'
const valuesMark = '"values":[['
/** What comes after the last series. */
const statsMark = '],"stats":{'

interface Envelope {
  data: OfSeries
  warnings?: string[]
  infos?: string[]
}

const powers = Array.from({ length: 16 }, (_, i) => 10 ** i)
const digitsMax = 15

/** Reads numbers of a text in their order, without a text of its own for each. */
class Numbers {
  constructor(
    private readonly text: string,
    public position: number,
  ) {}

  private get isAtEnd(): boolean {
    const c = this.text.charCodeAt(this.position)
    return c === 34 || c === 44 || Number.isNaN(c) // A quote, a comma, or the end of the text.
  }

  /** Skips characters before the number, and returns it. */
  next(skipped: number): number {
    const begin = (this.position += skipped)
    const isNegative = this.text.charCodeAt(begin) === 45
    if (isNegative) this.position++
    let whole = 0
    let digits = 0
    let scale = -1
    for (; ; this.position++) {
      const c = this.text.charCodeAt(this.position)
      if (c === 46) scale = 0
      else if (c >= 48 && c <= 57) {
        whole = whole * 10 + (c - 48)
        digits++
        if (scale >= 0) scale++
      } else break
    }
    // A quotient of two numbers that are exact is rounded as the decimal number is.
    if (digits > 0 && digits <= digitsMax && this.isAtEnd) return ((isNegative ? -1 : 1) * whole) / powers[Math.max(scale, 0)]!
    while (!this.isAtEnd) this.position++
    return numberOf(this.text.slice(begin, this.position))
  }
}

/** Says which of the steps is at a time; -1: none. */
function stepAt(t: number, grid: Grid, size: number): number {
  const at = Math.round((t - grid.start) / grid.step)
  return at >= 0 && at < size ? at : -1
}

/** Moves the samples of a series, in JSON, into a column; a step without a number has NaN. */
function readColumn(text: string, grid: Grid, size: number): [Series, Float64Array] {
  const column = new Float64Array(size).fill(NaN)
  const put = (t: number, v: number) => {
    const at = stepAt(t, grid, size)
    if (at >= 0 && Number.isFinite(v)) column[at] = v
  }
  const begin = text.indexOf(valuesMark)
  const end = begin < 0 ? begin : text.indexOf(']]', begin)
  if (begin >= 0) {
    const numbers = new Numbers(text, begin + valuesMark.length)
    // [[t,"v"],[t,"v"]]: what is skipped is `,"` before a value, and `"],[` before a time.
    for (let skipped = 0; numbers.position + 1 < end; skipped = 4) put(numbers.next(skipped), numbers.next(2))
  }
  const s = JSON.parse(begin < 0 ? text : `${text.slice(0, begin)}"values":[${text.slice(end + 1)}`) as Series
  for (const [t, h] of s.histograms ?? []) put(t, numberOf(h.sum))
  return [{ metric: s.metric, histograms: s.histograms }, column]
}

/** Calls `each` with the text of every series, and returns the text without them. */
async function readSeries(response: Response, each: (series: string) => void): Promise<{ text: string; bytes: number }> {
  const reader = response.body!.getReader()
  const decoder = new TextDecoder()
  let head: string | null = null
  let rest = ''
  let bytes = 0
  for (let r = await reader.read(); ; r = await reader.read()) {
    bytes += r.value?.length ?? 0
    rest += decoder.decode(r.value, { stream: !r.done })
    for (let at = rest.indexOf(seriesMark, head === null ? 0 : 1); at >= 0; at = rest.indexOf(seriesMark, 1)) {
      if (head === null) head = rest.slice(0, at)
      else each(rest.slice(0, at - 1))
      rest = rest.slice(at)
    }
    if (r.done) break
  }
  if (head === null) return { text: rest, bytes }
  const end = rest.indexOf(statsMark)
  each(rest.slice(0, end))
  return { text: head + rest.slice(end), bytes }
}

export async function askMatrix(values: Record<string, string | undefined>, grid: Grid, signal: AbortSignal): Promise<Matrix> {
  const size = Math.floor((grid.end - grid.start) / grid.step + 1e-6) + 1
  const times = Float64Array.from({ length: size }, (_, i) => grid.start + i * grid.step)
  const series: Series[] = []
  const columns: Float64Array[] = []
  const response = await open('api/v1/query_range', { body: formOf(values), signal })
  const { text, bytes } = await readSeries(response, part => {
    const [s, column] = readColumn(part, grid, size)
    series.push(s)
    columns.push(column)
  })
  const { data, warnings, infos } = JSON.parse(text) as Envelope
  return {
    answer: { data: { ...data, result: series }, warnings: warnings ?? [], infos: infos ?? [], bytes },
    columns: { times, values: columns },
  }
}
