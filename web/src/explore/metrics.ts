// metrics.ts - the names of metrics, and who has them: the store and each source are asked by
// themselves, so that a source that is slow or away neither delays nor hides what the others have.

import { useEffect, useState } from 'preact/hooks'
import { get, lines } from '../lib/api'
import { useLoad } from '../ui/load'
import { uncounted } from './usage'

export interface Metric {
  name: string
  type?: string
  unit?: string
  help?: string
  /** The store and the sources that have it; empty if there is only one of them. */
  origins: string[]
}

/** The store or a source, with its answer. */
interface Origin {
  name: string
  found: Omit<Metric, 'origins'>[] | null
  error: Error | null
}

export interface Metrics {
  metrics: Metric[]
  /** Those that have not answered. */
  waiting: string[]
  failures: { name: string; error: Error }[]
  /** There is more than the store. */
  isMany: boolean
  isLoading: boolean
}

/** Sources that are asked at the same time: the browser has six connections for all requests. */
const askedAtOnce = 2
const patienceMs = 10_000
/** Sources are asked when the person has stopped typing for so long. */
const pauseMs = 300

export type Question = Record<string, string | undefined>

/** Asks the store and the sources together if `origin` is undefined. */
export async function askNames(origin: string | undefined, question: Question, signal: AbortSignal) {
  const found = await lines<{ results?: Omit<Metric, 'origins'>[]; status?: string; error?: string }>(
    'api/v1/search/metric_names',
    { ...question, include_metadata: 'true', batch_size: question['limit'], source: origin, ...uncounted, partial_response: origin ? 'false' : undefined },
    signal,
  )
  const last = found[found.length - 1]
  if (last?.status === 'error') throw new Error(last.error)
  return found.flatMap(l => l.results ?? [])
}

/** Asks a source for a limited time. */
async function askSource(name: string, question: Question, signal: AbortSignal) {
  const control = new AbortController()
  const end = () => control.abort()
  signal.addEventListener('abort', end)
  const timer = setTimeout(end, patienceMs)
  try {
    return await askNames(name, question, control.signal)
  } catch (e) {
    if (control.signal.aborted && !signal.aborted) throw new Error(`no answer within ${patienceMs / 1000} seconds`)
    throw e
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
  }
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function askAll(origins: Origin[], question: Question, signal: AbortSignal, tell: () => void): Promise<void> {
  const one = async (origin: Origin) => {
    try {
      origin.found = await (origin.name === '' ? askNames(origins.length === 1 ? undefined : '', question, signal) : askSource(origin.name, question, signal))
    } catch (e) {
      origin.error = e as Error
    }
    if (!signal.aborted) tell()
  }
  const sources = origins.filter(o => o.name !== '')
  const inTurn = async () => {
    await pause(pauseMs)
    for (let next = sources.shift(); next !== undefined && !signal.aborted; next = sources.shift()) await one(next)
  }
  await Promise.all([...origins.filter(o => o.name === '').map(one), ...(sources.length === 0 ? [] : Array.from({ length: askedAtOnce }, inTurn))])
}

function originName(name: string): string {
  return name === '' ? 'store' : name
}

/** Puts the answers together: in the order of names, at most `limit`. */
function merged(origins: Origin[], limit: number): Metrics {
  const isMany = origins.length > 1
  const all = new Map<string, Metric>()
  for (const origin of origins) {
    for (const m of origin.found ?? []) {
      const known = all.get(m.name)
      if (known !== undefined) known.origins.push(originName(origin.name))
      else all.set(m.name, { ...m, origins: isMany ? [originName(origin.name)] : [] })
    }
  }
  const metrics = [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, limit)
  const waiting = origins.filter(o => o.found === null && o.error === null).map(o => originName(o.name))
  const failures = origins.flatMap(o => (o.error === null ? [] : [{ name: o.name, error: o.error }]))
  return { metrics, waiting, failures, isMany, isLoading: false }
}

/** Returns null until something is known. The question has a `limit`. */
export function useMetrics(question: Question): { metrics: Metrics | null; error: Error | null } {
  const [names, send] = useLoad<string[]>()
  const [metrics, setMetrics] = useState<Metrics | null>(null)
  useEffect(() => send(async signal => (await get<{ name: string }[]>('api/v1/sources', {}, signal)).data.map(s => s.name)), [])
  useEffect(() => {
    if (names.value === null) return
    const control = new AbortController()
    const origins = names.value.map((name): Origin => ({ name, found: null, error: null }))
    const limit = Number(question['limit'])
    setMetrics(before => before && { ...before, isLoading: true })
    // Until the first answer the names of the question before stay.
    askAll(origins, question, control.signal, () => setMetrics(merged(origins, limit)))
    return () => control.abort()
  }, [names.value, JSON.stringify(question)])
  return { metrics, error: names.error }
}
