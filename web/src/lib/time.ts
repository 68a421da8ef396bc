// time.ts - durations and times as people write them. Times are seconds since 1970.

import { serverNow } from './clock'

const units: [string, number][] = [
  ['y', 365 * 86400],
  ['w', 7 * 86400],
  ['d', 86400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
  ['ms', 0.001],
]

/** Reads a duration of PromQL such as 1h30m, or a number of seconds. NaN: it is neither. */
export function parseDuration(text: string): number {
  const t = text.trim()
  if (/^\d+(\.\d+)?$/.test(t)) return Number(t)
  if (!/^(\d+(ms|[ywdhms]))+$/.test(t)) return NaN
  let sum = 0
  for (const m of t.matchAll(/(\d+)(ms|[ywdhms])/g)) {
    sum += Number(m[1]) * units.find(u => u[0] === m[2])![1]
  }
  return sum
}

/** Writes a duration of PromQL, to the millisecond. */
export function formatDuration(seconds: number): string {
  let rest = Math.round(seconds * 1000)
  if (rest <= 0) return '0s'
  let out = ''
  for (const [name, size] of units) {
    const ms = Math.round(size * 1000)
    // Years and weeks are used only where nothing is left, so that 10 days are not 1w3d.
    if ((name === 'y' || name === 'w') && rest % ms !== 0) continue
    const n = Math.floor(rest / ms)
    if (n > 0) out += n + name
    rest -= n * ms
  }
  return out
}

/** `local`, `UTC`, or a name of the time zone database. */
export type Zone = string

/** Year, month, day, hour, minute and second. */
type Wall = [number, number, number, number, number, number]

const writers = new Map<Zone, Intl.DateTimeFormat>()

/** Reads the clock and the calendar of a zone. */
function wallAt(ms: number, zone: Zone): Wall {
  const d = new Date(ms)
  if (zone === 'local') return [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds()]
  if (zone === 'UTC') {
    return [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()]
  }
  let writer = writers.get(zone)
  if (writer === undefined) {
    const two = '2-digit'
    writer = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: two, day: two, hour: two, minute: two, second: two })
    writers.set(zone, writer)
  }
  const parts = new Map(writer.formatToParts(d).map(p => [p.type, Number(p.value)]))
  return [parts.get('year')!, parts.get('month')!, parts.get('day')!, parts.get('hour')!, parts.get('minute')!, parts.get('second')!]
}

/** Returns the time at which the clock of a zone shows these. */
function timeOfWall(wall: Wall, zone: Zone): number {
  const [y, month, ...rest] = wall
  if (zone === 'local') return new Date(y, month - 1, ...rest).getTime()
  const shown = Date.UTC(y, month - 1, ...rest)
  if (zone === 'UTC') return shown
  const ahead = (ms: number) => {
    const [wy, wm, ...wrest] = wallAt(ms, zone)
    return Date.UTC(wy, wm - 1, ...wrest) - Math.floor(ms / 1000) * 1000
  }
  // The second step is for times near a change of the clock.
  return shown - ahead(shown - ahead(shown))
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}

/** Writes a time as YYYY-MM-DD HH:MM:SS, with milliseconds where it has some. */
export function formatTime(t: number, zone: Zone): string {
  const ms = Math.round(t * 1000)
  const [year, month, day, ...clock] = wallAt(ms, zone)
  const rest = ((ms % 1000) + 1000) % 1000
  const fraction = rest === 0 ? '' : '.' + String(rest).padStart(3, '0')
  return `${year}-${two(month)}-${two(day)} ${clock.map(two).join(':')}${fraction}`
}

/**
 * Reads a time: as formatTime() writes it, whose end may be missing; ISO 8601 with a zone; a number
 * of seconds; `now` and `now-1h`. NaN: it is none of these.
 */
export function parseTime(text: string, zone: Zone, time = serverNow()): number {
  const t = text.trim()
  const relative = /^now(?:\s*-\s*(\S+))?$/.exec(t)
  if (relative) return time - (relative[1] === undefined ? 0 : parseDuration(relative[1]))
  if (/^\d{5,}(\.\d+)?$/.test(t)) return Number(t)
  const m = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(t)
  if (!m) return NaN
  const n = (i: number) => Number(m[i] ?? 0)
  const second = n(6)
  const part: Wall = [n(1), n(2), n(3), n(4), n(5), Math.floor(second)]
  const offset = m[7]
  if (offset !== undefined && offset !== 'Z') {
    const sign = offset[0] === '-' ? -1 : 1
    const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(-2))
    return timeOfWall(part, 'UTC') / 1000 - sign * minutes * 60 + (second % 1)
  }
  return timeOfWall(part, offset === 'Z' ? 'UTC' : zone) / 1000 + (second % 1)
}
