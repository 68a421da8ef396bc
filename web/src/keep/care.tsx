// care.tsx - what may run out: disk, log and memory; and what retention and merges do about it.

import { get } from '../lib/api'
import { serverNow, serverNowMs } from '../lib/clock'
import { bytes, count, duration, short } from '../lib/format'
import { select, sum, valuesOf } from '../lib/metrics'
import type { Families } from '../lib/metrics'
import { formatDuration, formatTime, parseDuration } from '../lib/time'
import { useLoad, useRepeat } from '../ui/load'
import { useMetrics } from '../ui/metrics'
import type { Readings } from '../ui/metrics'
import { Facts, numbered } from '../ui/page'
import { Failure } from '../ui/parts'
import { useSettings } from '../ui/settings'
import type { DownsamplingRule, Merge, RetentionRule, Storage } from './keep'

const day = 86400

/** Reads a size of the configuration, such as 4GiB or 500GB. */
function parseSize(text: string): number {
  const m = /^(\d+)\s*(?:([kMGTP])(i?)B?|B)?$/.exec(text)
  if (m === null) return 0
  return Number(m[1]) * (m[3] === 'i' ? 1024 : 1000) ** ('kMGTP'.indexOf(m[2] ?? '') + 1 || 0)
}

/**
 * How many bytes of parts a day of data takes: the mean of the last seven days that have parts. Less
 * than an hour of parts says nothing.
 */
export function bytesPerDay(storage: Storage): number | null {
  const end = Math.max(...storage.partitions.map(p => Date.parse(p.to)))
  const recent = storage.partitions.filter(p => Date.parse(p.from) >= end - 7 * day * 1000)
  const begin = Math.min(...recent.map(p => Date.parse(p.from)))
  const days = (Math.min(end, serverNowMs()) - begin) / 1000 / day
  if (!(days > 1 / 24)) return null
  return recent.reduce((n, p) => n + p.bytes, 0) / days
}

export interface Forecast {
  /** Days until the disk is full; null: never, or unknown. */
  days: number | null
  text: string
}

/** Says when the disk is full: `oldest` and `now` in seconds since 1970. */
export function forecast(f: { free: number; perDay: number | null; oldest: number | null; retention: number; sizeMax: number; used: number; now: number }): Forecast {
  if (f.perDay === null) return { days: null, text: 'unknown until an hour of data is in parts' }
  const growth = `${bytes(f.perDay)} per day of data`
  const isSteady = f.oldest !== null && f.retention > 0 && f.oldest + f.retention <= f.now + day
  if (isSteady) return { days: null, text: `${growth}; retention removes about as much` }
  const room = f.sizeMax > 0 ? Math.min(f.free, f.sizeMax - f.used) : f.free
  if (f.perDay <= 0) return { days: null, text: 'parts do not grow' }
  const days = Math.max(0, f.free / f.perDay)
  const untilSize = room / f.perDay
  if (f.sizeMax > 0 && untilSize < days) return { days: null, text: `${growth}; retention.size is reached in ${duration(Math.max(0, untilSize) * day)}, before the disk is full` }
  const untilTime = f.oldest === null || f.retention <= 0 ? Infinity : (f.oldest + f.retention - f.now) / day
  if (untilTime < days) return { days: null, text: `${growth}; retention.time is reached in ${duration(untilTime * day)}, before the disk is full` }
  return { days, text: `${growth}: the disk is full in ${duration(days * day)}` }
}

function Disk(props: { storage: Storage; flags: Record<string, string>; readings: Readings }) {
  const [{ zone }] = useSettings()
  const { storage, flags, readings } = props
  const now = serverNow()
  const begins = storage.partitions.map(p => Date.parse(p.from) / 1000)
  const oldest = begins.length === 0 ? null : Math.min(...begins)
  const retention = parseDuration(flags['retention.time'] ?? '')
  const free = sum(readings.now, 'firekeep_disk_free_bytes')
  const outlook = forecast({
    free,
    perDay: bytesPerDay(storage),
    oldest,
    retention: Number.isNaN(retention) ? 0 : retention,
    sizeMax: parseSize(flags['retention.size'] ?? ''),
    used: storage.parts.bytes,
    now,
  })
  const isSoon = sum(readings.now, 'firekeep_disk_low') > 0 || (outlook.days !== null && outlook.days < 30)
  return (
    <Facts
      rows={[
        ['Free', <span class={isSoon ? 'bad' : ''}>{bytes(free)}</span>],
        ['Growth', <span class={isSoon ? 'bad' : ''}>{outlook.text}</span>],
        ['Retention', `${flags['retention.time'] ?? ''}${parseSize(flags['retention.size'] ?? '') > 0 ? `, or ${flags['retention.size']} of parts` : ''}`],
        ['Retention edge', retention > 0 ? `samples before ${formatTime(Math.floor(now - retention), zone)} are removed` : 'none'],
        ...ruleRows(storage),
        ...levelRows(storage),
        ['Oldest part', oldest === null ? 'none' : formatTime(oldest, zone)],
      ]}
    />
  )
}

function ruleText(r: RetentionRule): string {
  const removed = `${numbered(r.removed.samples, 'sample')} removed`
  if (r.match === '') return removed
  const whose = r.tenants.length === 0 ? '' : ` of ${r.tenants.join(', ')}`
  return `${r.match}${whose} for ${formatDuration(r.timeSeconds)}: ${removed}, ${count(r.expired.samples)} (${bytes(r.expired.bytes)}) to remove`
}

/** The rules of retention, one to a row; no row without rules. */
function ruleRows(storage: Storage): [string, string][] {
  const { rules, graceLeftSeconds } = storage.retention
  const rows = rules.map((r, i): [string, string] => [r.match === '' ? 'Earlier rules' : `Rule ${i + 1}`, ruleText(r)])
  if (graceLeftSeconds > 0) rows.push(['Grace', `earlier rules still protect samples for ${duration(graceLeftSeconds)}`])
  return rows
}

function levelText(r: DownsamplingRule): string {
  const replaced = `${numbered(r.replaced.samples, 'sample')} replaced by ${numbered(r.replaced.windows, 'window')}, ${bytes(r.replaced.savedBytes)} saved`
  if (r.match === '') return replaced
  const whose = r.tenants.length === 0 ? '' : ` of ${r.tenants.join(', ')}`
  const due = `${count(r.due.samples)} (${bytes(r.due.bytes)}) old enough`
  const excluded = r.excludedParts > 0 ? `; not applied to ${numbered(r.excludedParts, 'part')} with other windows` : ''
  return `${r.match}${whose} to ${formatDuration(r.resolutionSeconds)} after ${formatDuration(r.afterSeconds)}: ${replaced}, ${due}${excluded}`
}

/** The rules of downsampling, one to a row. */
function levelRows(storage: Storage): [string, string][] {
  return storage.downsampling.rules.map((r, i): [string, string] => [r.match === '' ? 'Earlier levels' : `Level ${i + 1}`, levelText(r)])
}

function mergeText(m: Merge, zone: string): string {
  const ends = m.outputs > 1 ? `, ${count(m.outputsDone)} of ${count(m.outputs)} results are done` : ''
  return `${numbered(m.parts, 'part')} of ${bytes(m.bytes)} with ${numbered(m.samples, 'sample')}, level ${m.level}, since ${formatTime(Date.parse(m.since) / 1000, zone)}${ends}`
}

function Merges(props: { storage: Storage; readings: Readings }) {
  const [{ zone }] = useSettings()
  const { now, rate } = props.readings
  const merges = sum(now, 'firekeep_merges_total')
  const failures = sum(now, 'firekeep_merge_failures_total')
  const alone = sum(now, 'firekeep_parts_left_alone')
  const written = rate(f => sum(f, 'firekeep_merge_written_bytes_total')) ?? 0
  return (
    <Facts
      rows={[
        ['Now', props.storage.merges.map(m => mergeText(m, zone)).join('; ') || 'no merge runs'],
        ['Written in the last minute', `${bytes(written)}/s`],
        [
          'Since the start',
          `${numbered(merges, 'merge')}, ${bytes(sum(now, 'firekeep_merge_written_bytes_total'))} written` +
            (merges > 0 ? `, ${duration(sum(now, 'firekeep_merge_duration_seconds_sum') / merges)} each` : ''),
        ],
        ['Failed', <span class={failures > 0 ? 'bad' : ''}>{count(failures)}</span>],
        ['Damaged parts left alone', <span class={alone > 0 ? 'bad' : ''}>{count(alone)}</span>],
      ]}
    />
  )
}

/** A share as a bar, with its numbers as text. */
function Share(props: { used: number; most: number; text: string }) {
  const part = props.most > 0 ? Math.min(1, props.used / props.most) : 0
  return (
    <span class="share">
      <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class={part > 0.9 ? 'bad' : part > 0.75 ? 'warn' : ''} width={part * 100} height={8} />
      </svg>
      {props.text}
    </span>
  )
}

function Log(props: { storage: Storage; flags: Record<string, string>; readings: Readings }) {
  const { now, rate } = props.readings
  const budget = parseSize(props.flags['wal.budget'] ?? '')
  const size = props.storage.log.bytes
  const isOver = sum(now, 'firekeep_wal_over_budget') + sum(now, 'firekeep_wal_down') > 0
  const behind = sum(now, 'firekeep_wal_readers_behind')
  const lags = select(now, 'firekeep_destination_lag_bytes')
  return (
    <Facts
      rows={[
        ['Size', <Share used={size} most={budget} text={`${bytes(size)} of ${bytes(budget)} in ${numbered(props.storage.log.segments, 'segment')}`} />],
        ['Committed', `${bytes(rate(f => sum(f, 'firekeep_wal_commit_bytes_total')) ?? 0)}/s in ${short(rate(f => sum(f, 'firekeep_wal_commits_total')) ?? 0)} commits/s`],
        ['State', isOver ? <span class="bad">{sum(now, 'firekeep_wal_down') > 0 ? 'cannot be written' : 'wal.budget is reached'}</span> : 'takes writes'],
        ['Readers behind', <span class={behind > 0 ? 'bad' : ''}>{count(behind)}</span>],
        ...lags.map((m): [string, preact.JSX.Element] => {
          const most = sum(now, 'firekeep_destination_log_budget_bytes', { destination: m.labels['destination'] })
          return [`Waits for ${m.labels['destination']}`, <Share used={m.value} most={most} text={`${bytes(m.value)} of ${bytes(most)}`} />]
        }),
      ]}
    />
  )
}

interface Budget {
  name: string
  used: number
  peak: number
  limit: number
  refused: number
}

function budgetsOf(now: Families): Budget[] {
  const of = (family: string, budget: string) => sum(now, `firekeep_memory_${family}`, { budget })
  return valuesOf(now, 'firekeep_memory_bytes', 'budget').map(b => ({
    name: b,
    used: of('bytes', b),
    peak: of('peak_bytes', b),
    limit: of('limit_bytes', b),
    refused: of('refused_total', b),
  }))
}

function percent(part: number, of: number): string {
  return `${Number(((100 * part) / of).toPrecision(2))} %`
}

/** Says whether the limit of the process suits what it takes. */
function MemoryAdvice(props: { all: Budget; others: Budget[] }) {
  const { all } = props
  const refused = props.others.filter(b => b.refused > 0).map(b => b.name)
  if (all.limit === 0) return null
  return (
    <p>
      Of {bytes(all.limit)} (<code>memory.limit</code>) {bytes(all.used)} are in use, {percent(all.used, all.limit)}; at most it was {bytes(all.peak)}, {percent(all.peak, all.limit)}, since
      the start.{' '}
      {refused.length > 0 ? (
        <span class="bad">There was not enough for {refused.join(', ')}.</span>
      ) : all.peak > 0.9 * all.limit ? (
        <span class="warn">The limit was nearly reached.</span>
      ) : (
        'It was enough for all.'
      )}
    </p>
  )
}

function Memory(props: { readings: Readings }) {
  const budgets = budgetsOf(props.readings.now).sort((a, b) => b.peak - a.peak)
  const all = budgets.find(b => b.name === 'process')
  const taken = budgets.filter(b => b.peak > 0 || b.refused > 0)
  const unused = budgets.filter(b => !taken.includes(b))
  /** All bars have one scale: what the process took at most. */
  const most = all?.peak ?? 0
  return (
    <div class="scroll">
      {all !== undefined && <MemoryAdvice all={all} others={budgets} />}
      <table>
        <thead>
          <tr>
            <th scope="col">Budget</th>
            <th scope="col">In use</th>
            <th scope="col" class="number">
              At most, since the start
            </th>
            <th scope="col" class="number">
              Limit
            </th>
            <th scope="col" class="number">
              Refused
            </th>
          </tr>
        </thead>
        <tbody>
          {taken.map(b => (
            <tr key={b.name}>
              <th scope="row">{b.name}</th>
              <td>
                <span class="share">
                  <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
                    <rect class="peak" width={(100 * b.peak) / Math.max(most, b.peak)} height={8} />
                    <rect class={b.limit > 0 && b.used > 0.9 * b.limit ? 'bad' : ''} width={(100 * b.used) / Math.max(most, b.peak, 1)} height={8} />
                  </svg>
                  {bytes(b.used)}
                </span>
              </td>
              <td class="number">{bytes(b.peak)}</td>
              <td class="number">{b.limit > 0 ? `${bytes(b.limit)} (${percent(b.peak, b.limit)} reached)` : '–'}</td>
              <td class={b.refused > 0 ? 'number bad' : 'number'}>{count(b.refused)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {unused.length > 0 && <p class="empty">Not used until now: {unused.map(b => b.name).join(', ')}.</p>}
    </div>
  )
}

interface Kept {
  storage: Storage
  flags: Record<string, string>
}

export function Care() {
  const metrics = useMetrics()
  const [kept, send] = useLoad<Kept>()
  useRepeat(
    () =>
      send(async signal => {
        const [storage, flags] = await Promise.all([get<Storage>('api/v1/status/storage', {}, signal), get<Record<string, string>>('api/v1/status/flags', {}, signal)])
        return { storage: storage.data, flags: flags.data }
      }),
    15,
    [],
  )
  const error = metrics.error ?? kept.error
  if (metrics.value === null || kept.value === null) return error === null ? null : <Failure error={error} />
  const readings = metrics.value
  return (
    <>
      {error !== null && <Failure error={error} />}
      <div class="columns">
        <section>
          <h2>Disk</h2>
          <Disk {...kept.value} readings={readings} />
        </section>
        <section>
          <h2>Merges</h2>
          <Merges storage={kept.value.storage} readings={readings} />
        </section>
        <section>
          <h2>Log</h2>
          <Log {...kept.value} readings={readings} />
        </section>
      </div>
      <h2>Memory</h2>
      <Memory readings={readings} />
    </>
  )
}
