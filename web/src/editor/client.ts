// client.ts - what the editor's completion asks the server. Names come from the search routes, whose
// answers have a limit, so that a store of millions of series is no burden.

import { get, lines } from '../lib/api'
import { serverNow } from '../lib/clock'
import { quote, seriesText } from '../lib/format'

interface Matcher {
  name: string
  value: string
  matchesEmpty: () => boolean
  type: number
}

const namesMax = '2000'
const hours = 12

function recent(): { start: string; end: string } {
  const now = serverNow()
  return { start: String(now - hours * 3600), end: String(now) }
}

/** Selects a metric, by the equality matchers that are written already. */
function selector(metric: string | undefined, matchers: Matcher[] = []): string[] {
  const labels = matchers.filter(m => m.type === 0 && m.value !== '').map(m => `${m.name}=${quote(m.value)}`)
  if (metric === undefined || metric === '') return labels.length > 0 ? [`{${labels.join(',')}}`] : []
  return [`${seriesText({ __name__: metric })}${labels.length > 0 ? `{${labels.join(',')}}` : ''}`]
}

/** Nothing to complete is no failure of the page. */
async function orNone<T>(asked: Promise<T>, none: T): Promise<T> {
  try {
    return await asked
  } catch {
    return none
  }
}

async function search(route: string, values: Record<string, string | string[]>): Promise<string[]> {
  const names: string[] = []
  const found = await lines<{ results?: { name?: string; value?: string }[] }>(`api/v1/search/${route}`, {
    ...values,
    ...recent(),
    count_usage: 'false',
    limit: namesMax,
    batch_size: namesMax,
  })
  for (const line of found) for (const r of line.results ?? []) names.push(r.name ?? r.value ?? '')
  return names
}

export function completionClient() {
  const asked = get<Record<string, { type: string; help: string }[]>>('api/v1/metadata', { limit: namesMax })
  const metadata = orNone(asked.then(a => a.data), {})
  return {
    labelNames: (metric?: string) => orNone(search('label_names', { 'match[]': selector(metric) }), []),
    labelValues: (name: string, metric?: string, matchers?: Matcher[]) =>
      orNone(search('label_values', { label: name, 'match[]': selector(metric, matchers) }), []),
    metricMetadata: () => metadata,
    series: async (metric: string, matchers?: Matcher[]) => {
      const asked = get<Record<string, string>[]>('api/v1/series', { 'match[]': selector(metric, matchers), ...recent(), limit: namesMax, count_usage: 'false' })
      const found = await orNone(asked.then(a => a.data), [])
      return found.map(labels => new Map(Object.entries(labels)))
    },
    metricNames: (prefix?: string) =>
      orNone(search('metric_names', prefix ? { 'search[]': prefix, case_sensitive: 'false' } : {}), []),
    flags: () => Promise.resolve({} as Record<string, string>),
  }
}
