// metrics.ts - the server's own metrics for components: read again and again, for values and rates.

import { useRef } from 'preact/hooks'
import { get } from '../lib/api'
import { parseMetrics } from '../lib/metrics'
import type { Families } from '../lib/metrics'
import { useLoad, useRepeat } from './load'
import type { Load } from './load'

export interface Readings {
  now: Families
  /** Says how much a value grows per second, over at most a minute; null after the first reading. */
  rate: (value: (families: Families) => number) => number | null
}

const readingsMax = 12

/** Reads nothing unless `isPermitted`. */
export function useMetrics(seconds = 5, isPermitted = true): Load<Readings> {
  const [load, send] = useLoad<Readings>()
  const kept = useRef<{ at: number; families: Families }[]>([])
  useRepeat(
    () =>
      isPermitted &&
      send(async signal => {
        const now = parseMetrics(await get.text('metrics', signal))
        const list = kept.current
        list.push({ at: performance.now() / 1000, families: now })
        if (list.length > readingsMax) list.shift()
        const first = list[0]!
        const last = list[list.length - 1]!
        return {
          now,
          rate: value => (first === last ? null : (value(last.families) - value(first.families)) / (last.at - first.at)),
        }
      }),
    seconds,
    [],
  )
  return load
}
