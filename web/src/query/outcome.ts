// outcome.ts - asks for what a panel shows: an answer for each of its expressions.

import { ask, isUnreachable } from '../lib/api'
import type { Answer } from '../lib/api'
import { serverNow } from '../lib/clock'
import { formatDuration } from '../lib/time'
import { fetchExemplars } from './exemplars'
import type { Exemplar } from './exemplars'
import { askMatrix } from './matrix'
import type { Grid } from './matrix'
import type { Panel, Tab } from './panels'
import type { Operator } from './plan'
import { isOfSeries, roundStep } from './result'
import type { Columns, Result, Series } from './result'

/** The answer for one expression, or why there is none. */
export interface Part {
  /** The index of the expression in its panel. */
  at: number
  expr: string
  answer: Answer<unknown>
  error: Error | null
  exemplars: Exemplar[]
  /** Values of the series of a graph. */
  columns: Columns
}

/** Answers with the question that they belong to. */
export interface Outcome extends Grid {
  tab: Tab
  parts: Part[]
}

const noAnswer: Answer<null> = { data: null, warnings: [], infos: [], bytes: 0 }
const noColumns: Columns = { times: new Float64Array(), values: [] }

/** Whole steps, so that a graph that is refreshed keeps its points. */
function gridOf(p: Panel, end: number, step: number): Grid {
  return { start: Math.ceil((end - p.seconds) / step) * step, end: Math.floor(end / step) * step, step }
}

function lookbackOf(p: Panel): string | undefined {
  return p.lookback === null ? undefined : formatDuration(p.lookback)
}

/** The parameters of a range query. */
function rangeValues(p: Panel, query: string, grid: Grid): Record<string, string | undefined> {
  return {
    query,
    lookback_delta: lookbackOf(p),
    stats: 'cost',
    nocache: p.cache ? undefined : '1',
    start: String(grid.start),
    end: String(grid.end),
    step: String(grid.step),
  }
}

async function askPart(p: Panel, query: string, grid: Grid, signal: AbortSignal): Promise<Partial<Part>> {
  const lookback_delta = lookbackOf(p)
  switch (p.tab) {
    case 'graph': {
      const whole = gridOf(p, grid.end, grid.step)
      const [matrix, exemplars] = await Promise.all([
        askMatrix(rangeValues(p, query, whole), whole, signal),
        p.exemplars ? fetchExemplars(query, grid.start, grid.end, signal) : [],
      ])
      return { ...matrix, exemplars }
    }
    case 'explain': {
      const values = { query, lookback_delta, analyze: 'true', start: String(grid.start), end: String(grid.end), step: String(grid.step) }
      return { answer: await ask<Operator>('api/v1/explain', values, signal) }
    }
    case 'table': {
      const time = p.end === null ? undefined : String(grid.end)
      return { answer: await ask<Result>('api/v1/query', { query, lookback_delta, stats: 'cost', time }, signal) }
    }
    case 'raw':
    case 'tree':
      return {} // They ask for themselves.
  }
}

/** The expressions of a panel, each with its index; those that are empty are left out. */
export function expressionsOf(p: Panel): [number, string][] {
  return [p.expr, ...p.more].map((expr, at): [number, string] => [at, expr]).filter(([, expr]) => expr.trim() !== '')
}

export async function fetchOutcome(p: Panel, width: number, signal: AbortSignal): Promise<Outcome> {
  const end = p.end ?? serverNow()
  const step = p.step ?? roundStep(p.seconds / Math.max(width, 100))
  const grid = { start: end - p.seconds, end, step }
  const one = async ([at, expr]: [number, string]): Promise<Part> => {
    const part = { at, expr, answer: noAnswer, error: null, exemplars: [], columns: noColumns }
    try {
      return { ...part, ...(await askPart(p, expr, grid, signal)) }
    } catch (e) {
      if ((e as Error).name === 'AbortError' || isUnreachable(e as Error)) throw e
      return { ...part, error: e as Error }
    }
  }
  const parts = await Promise.all(expressionsOf(p).map(one))
  return { tab: p.tab, ...(p.tab === 'graph' ? gridOf(p, end, step) : grid), parts }
}

/** An expression and its answer, complete. */
export interface Complete {
  query: string
  answer: Answer<Result>
}

/** The complete results of an outcome. Those of a graph are asked for again: the page keeps only what
 * it draws. */
export async function resultsOf(p: Panel, outcome: Outcome): Promise<Complete[]> {
  const whole = async (part: Part) =>
    outcome.tab === 'graph' ? ask<Result>('api/v1/query_range', rangeValues(p, part.expr, outcome)) : (part.answer as Answer<Result>)
  return Promise.all(outcome.parts.filter(part => part.error === null).map(async part => ({ query: part.expr, answer: await whole(part) })))
}

/** A series of a graph, with the index of its expression. */
export interface Drawn extends Series {
  at: number
}

/** The series of all expressions, and their values. */
export function drawnOf(outcome: Outcome): { series: Drawn[]; columns: Columns } {
  const parts = outcome.parts.filter(p => p.error === null)
  return {
    series: parts.flatMap(p => (isOfSeries(p.answer.data as Result) ? (p.answer.data as { result: Series[] }).result.map(s => ({ ...s, at: p.at })) : [])),
    columns: { times: parts[0]?.columns.times ?? noColumns.times, values: parts.flatMap(p => p.columns.values) },
  }
}
