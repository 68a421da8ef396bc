// units.ts - values of panels as text, by Grafana's names of units.

import { bytes, duration, short } from '../lib/format'

export interface Unit {
  write: (value: number) => string
  /** Steps of the axis, for units whose round numbers are not those of ten. */
  increments?: number[]
}

const binary = Array.from({ length: 60 }, (_, i) => 2 ** i)

const small = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1].flatMap(u => [u, 2 * u, 5 * u])
const times = [...small, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200, ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map(d => d * 86400)]

function per(unit: string): Unit {
  return { write: v => short(v) + unit }
}

function seconds(v: number): string {
  return v === 0 ? '0' : v < 0 ? '-' + duration(-v) : duration(v)
}

function percent(v: number): string {
  return `${Number(v.toFixed(Math.abs(v) < 10 ? 2 : 1))} %`
}

const units: Record<string, Unit> = {
  '': { write: short },
  none: { write: short },
  short: { write: short },
  cps: per('/s'),
  ops: per('/s'),
  iops: per('/s'),
  reqps: per(' req/s'),
  pps: per(' p/s'),
  s: { write: seconds, increments: times },
  bytes: { write: bytes, increments: binary },
  Bps: { write: v => bytes(v) + '/s', increments: binary },
  percent: { write: percent },
  percentunit: { write: v => percent(v * 100) },
  celsius: per(' °C'),
}

/** Null for an unknown unit. */
export function unitOf(name: string): Unit | null {
  return Object.hasOwn(units, name) ? units[name]! : null
}
