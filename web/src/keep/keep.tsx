// keep.tsx - what the store holds, and the account of every sample received.

import { bytes, count } from '../lib/format'
import { formatDuration } from '../lib/time'
import { Facts, Shown, Title, numbered } from '../ui/page'
import { NeedsAdminApi, useMayAct } from '../ui/session'
import { Care } from './care'
import { Deletion } from './deletion'
import { Flow } from './flow'
import { Snapshots } from './snapshots'

/** A merge that runs. */
export interface Merge {
  since: string
  parts: number
  samples: number
  bytes: number
  level: number
  from: string
  to: string
  outputs: number
  outputsDone: number
}

/** Windows of one resolution: a window has a row, and one more if its series went stale in it. */
export interface Resolution {
  resolutionSeconds: number
  rows: number
  bytes: number
}

interface Partition {
  from: string
  to: string
  parts: number
  samples: number
  exemplars: number
  bytes: number
  resolutions: Resolution[]
}

/** A rule of downsampling; an empty match stands for all rules that are no longer configured. */
export interface DownsamplingRule {
  match: string
  tenants: string[]
  afterSeconds: number
  resolutionSeconds: number
  replaced: { samples: number; windows: number; savedBytes: number }
  due: { samples: number; bytes: number }
  excludedParts: number
}

/** A rule of retention; an empty match stands for all rules that are no longer configured. */
export interface RetentionRule {
  match: string
  tenants: string[]
  timeSeconds: number
  removed: { samples: number; bytes: number }
  expired: { samples: number; bytes: number }
}

export interface Storage {
  log: { bytes: number; segments: number }
  head: { bytes: number; samples: number; exemplars: number; series: number }
  parts: { parts: number; samples: number; exemplars: number; bytes: number; dataBytes: number; indexBytes: number }
  bucket?: { state: string; parts: number; bytes: number; onlyThere: number; completeTime?: string; requests: number; readBytes: number }
  partitions: Partition[]
  merges: Merge[]
  retention: { rules: RetentionRule[]; graceLeftSeconds: number }
  downsampling: { rules: DownsamplingRule[]; resolutions: Resolution[] }
}

const day = 86400_000
const daysLeast = 14

function perSample(p: { bytes: number; samples: number }): string {
  return p.samples > 0 ? (p.bytes / p.samples).toFixed(2) : '–'
}

function windowsText(p: Partition): string {
  return p.resolutions.map(r => `${formatDuration(r.resolutionSeconds)}: ${numbered(r.rows, 'row')}, ${bytes(r.bytes)}`).join('; ')
}

/** The bytes of windows within the bar of a partition, the coarsest at the bottom; those above are of samples and the index. */
function Windows(props: { partition: Partition; left: number; width: number; height: number }) {
  const { partition: p, left, width, height } = props
  let bottom = 152
  return (
    <>
      {[...p.resolutions].reverse().map(r => {
        const part = (r.bytes / p.bytes) * height
        bottom -= part
        return <rect class={r.resolutionSeconds >= 3600 ? 'coarse' : 'fine'} x={left} y={bottom} width={width} height={part} />
      })}
    </>
  )
}

/** Parts on an axis of time, of two weeks at least: the height is the number of bytes. Merges are lines below it. */
function Timeline(props: { partitions: Partition[]; merges: Merge[] }) {
  const list = props.partitions
  if (list.length === 0) return <p class="empty">The store has no parts yet.</p>
  const end = Math.max(...list.map(p => Date.parse(p.to)))
  const begin = Math.min(end - daysLeast * day, ...list.map(p => Date.parse(p.from)))
  const most = Math.max(...list.map(p => p.bytes))
  const x = (t: number) => ((t - begin) / (end - begin)) * 1000
  const date = (t: number) => new Date(t).toISOString().slice(0, 10)
  return (
    <figure class="parts">
      <svg class="timeline" viewBox="0 0 1000 160" preserveAspectRatio="none" role="img" aria-label={`${numbered(list.length, 'partition')} by time and size; the table below has the numbers`}>
        {list.map(p => {
          const left = x(Date.parse(p.from))
          const height = Math.max(3, (p.bytes / most) * 148)
          const width = Math.max(2, x(Date.parse(p.to)) - left - 1)
          const windows = p.resolutions.length > 0 ? `; windows of ${windowsText(p)}` : ''
          return (
            <g>
              <title>{`${p.from} to ${p.to}: ${count(p.samples)} samples, ${bytes(p.bytes)}, ${perSample(p)} bytes per sample${windows}`}</title>
              <rect x={left} y={152 - height} width={width} height={height} />
              <Windows partition={p} left={left} width={width} height={height} />
            </g>
          )
        })}
        {props.merges.map(m => (
          <rect class="merge" x={x(Date.parse(m.from))} y={154} width={Math.max(6, x(Date.parse(m.to)) - x(Date.parse(m.from)))} height={6}>
            <title>{`a merge of ${numbered(m.parts, 'part')} runs`}</title>
          </rect>
        ))}
      </svg>
      <figcaption>
        <span>{date(begin)}</span>
        <span>
          at most {bytes(most)}
          {list.some(p => p.resolutions.length > 0) && (
            <>
              ; <span class="swatch fine" /> windows below an hour, <span class="swatch coarse" /> of an hour and more
            </>
          )}
        </span>
        <span>{date(end - 1)} UTC</span>
      </figcaption>
      <details>
        <summary>As a table</summary>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col">To</th>
                {['Parts', 'Samples', 'Exemplars', 'Bytes', 'Per sample'].map(t => (
                  <th scope="col" class="number">
                    {t}
                  </th>
                ))}
                <th scope="col">Windows</th>
              </tr>
            </thead>
            <tbody>
              {list.map(p => (
                <tr>
                  <td>{p.from}</td>
                  <td>{p.to}</td>
                  <td class="number">{count(p.parts)}</td>
                  <td class="number">{count(p.samples)}</td>
                  <td class="number">{count(p.exemplars)}</td>
                  <td class="number">{bytes(p.bytes)}</td>
                  <td class="number">{perSample(p)}</td>
                  <td>{windowsText(p) || 'none'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}

function bucketRows(b: Storage['bucket']): [string, string][] {
  if (!b) return []
  const state = b.state === 'written' ? '' : b.state === 'failing' ? '; the last request failed' : '; nothing is written any more'
  return [
    [
      'Bucket',
      `${numbered(b.parts, 'part')}, ${bytes(b.bytes)}, ${count(b.onlyThere)} only there; complete up to ${b.completeTime ?? 'no sample'}${state}`,
    ],
    ['Read from the bucket', `${bytes(b.readBytes)} in ${numbered(b.requests, 'request')}`],
  ]
}

export function KeepPage() {
  const mayAct = useMayAct()
  return (
    <>
      <Title text="Keep" />
      <Shown<Storage> path="api/v1/status/storage">
        {s => (
          <>
            <Facts
              rows={[
                ['Log', `${bytes(s.log.bytes)} in ${numbered(s.log.segments, 'segment')}`],
                ['In memory', `${count(s.head.samples)} samples of ${count(s.head.series)} series, ${bytes(s.head.bytes)}`],
                [
                  'Parts',
                  `${count(s.parts.samples)} samples in ${numbered(s.parts.parts, 'part')}, ${bytes(s.parts.bytes)}` +
                    (s.parts.samples > 0 ? `: ${(s.parts.bytes / s.parts.samples).toFixed(3)} bytes per sample` : ''),
                ],
                ...bucketRows(s.bucket),
              ]}
            />
            <h2>Parts over time</h2>
            <Timeline partitions={s.partitions} merges={s.merges} />
          </>
        )}
      </Shown>
      <h2>Account of every sample</h2>
      <Flow />
      <Care />
      {mayAct && (
        <>
          <Snapshots />
          <Deletion />
        </>
      )}
      <NeedsAdminApi what="Snapshots are made, and series deleted," />
    </>
  )
}
