// usage.ts - how often metrics are asked for, by queries and rules, since the server was started.

import { useEffect } from 'preact/hooks'
import { get } from '../lib/api'
import { count } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { useLoad } from '../ui/load'
import type { Load } from '../ui/load'
import { useSession } from '../ui/session'
import { useIsOneTenant } from '../ui/tenant'

export interface Usage {
  metric: string
  queries: number
  rules: number
  lookups: number
  last: number
}

export interface UsageList {
  /** The start of the server, and the time since which each use is in the list. */
  begun: number
  since: number
  exact: boolean
  metrics: Usage[]
}

/** An argument of questions of this page: looking at a metric here is no use of it. */
export const uncounted = { count_usage: 'false' }

const most = '100000'

/** Says whether the server shows the usage to the user. */
export function useMaySeeUsage(): boolean {
  const isOne = useIsOneTenant()
  return !useSession().sender.restricted && isOne
}

/** The usage of one metric, or of all; it is asked for once it is wanted. */
export function useUsage(isWanted: boolean, metric?: string): Load<UsageList> {
  const [load, send] = useLoad<UsageList>()
  useEffect(() => {
    if (isWanted) send(async signal => (await get<UsageList>('api/v1/status/metric_usage', { metric, limit: most }, signal)).data)
  }, [isWanted, metric])
  return load
}

/** Says in words since when uses are counted. */
export function sinceText(list: UsageList, zone: Zone): string {
  return `since ${formatTime(Math.ceil(list.since), zone)}${list.exact ? ', the start of the server' : ': of uses before, some are forgotten'}`
}

/** Writes how often a metric was used. */
export function usageText(of: Usage | undefined, list: UsageList, zone: Zone): string {
  if (of === undefined) return `not asked for ${sinceText(list, zone)}`
  const kinds: [number, string][] = [
    [of.queries, 'by queries'],
    [of.rules, 'by rules'],
    [of.lookups, 'by look-ups of labels'],
  ]
  const parts = kinds.filter(([n]) => n > 0).map(([n, by]) => `${count(n)} times ${by}`)
  return `${parts.join(', ')}; last at ${formatTime(Math.floor(of.last), zone)}`
}
