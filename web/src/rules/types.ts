// types.ts - groups of rules and alerts, as /api/v1/rules and /api/v1/alerts give them.

import { serverNowMs } from '../lib/clock'
import type { Labels } from '../lib/format'

export interface Alert {
  labels: Labels
  annotations: Labels
  state: 'pending' | 'firing'
  activeAt: string
  keepFiringSince?: string
  value: string
}

export interface Rule {
  type: 'alerting' | 'recording'
  name: string
  query: string
  labels?: Labels
  annotations?: Labels
  duration?: number
  keepFiringFor?: number
  state?: 'inactive' | 'pending' | 'firing' | 'unknown'
  alerts?: Alert[]
  health: 'ok' | 'err' | 'unknown'
  lastError?: string
  evaluationTime: number
  lastEvaluation: string
}

export interface Group {
  name: string
  file: string
  interval: number
  limit: number
  rules: Rule[]
  evaluationTime: number
  lastEvaluation: string
}

/** Says how long ago a time of the API is. The zero time, before the first evaluation, has no age. */
export function agoOf(time: string): number | null {
  const t = Date.parse(time)
  return Number.isNaN(t) || t < 0 ? null : Math.max(0, (serverNowMs() - t) / 1000)
}

export function matches(text: string, ...parts: string[]): boolean {
  const words = text.toLowerCase().split(/\s+/).filter(w => w !== '')
  const all = parts.join(' ').toLowerCase()
  return words.every(w => all.includes(w))
}
