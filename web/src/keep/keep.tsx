// keep.tsx - what the store holds, and the account of every sample received.

import { bytes, count } from '../lib/format'
import { Facts, Shown, Title } from '../ui/page'
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

interface Partition {
  from: string
  to: string
  parts: number
  samples: number
  exemplars: number
  bytes: number
}

export interface Storage {
  log: { bytes: number; segments: number }
  head: { bytes: number; samples: number; exemplars: number; series: number }
  parts: { parts: number; samples: number; exemplars: number; bytes: number; dataBytes: number; indexBytes: number }
  partitions: Partition[]
  merges: Merge[]
}

/** Parts on an axis of time: the height is the number of bytes. Merges are lines below it. */
function Timeline(props: { partitions: Partition[]; merges: Merge[] }) {
  const list = props.partitions
  if (list.length === 0) return <p class="empty">The store has no parts yet.</p>
  const begin = Math.min(...list.map(p => Date.parse(p.from)))
  const end = Math.max(...list.map(p => Date.parse(p.to)))
  const most = Math.max(...list.map(p => p.bytes))
  const x = (t: number) => (end > begin ? ((t - begin) / (end - begin)) * 1000 : 0)
  return (
    <svg class="timeline" viewBox="0 0 1000 160" preserveAspectRatio="none" role="img" aria-label={`${list.length} partitions by time and size`}>
      {list.map(p => {
        const left = x(Date.parse(p.from))
        const height = Math.max(3, (p.bytes / most) * 150)
        return (
          <rect x={left} y={160 - height} width={Math.max(2, x(Date.parse(p.to)) - left - 1)} height={height}>
            <title>{`${p.from} to ${p.to}: ${count(p.samples)} samples, ${bytes(p.bytes)}${p.samples > 0 ? `, ${(p.bytes / p.samples).toFixed(2)} bytes per sample` : ''}`}</title>
          </rect>
        )
      })}
      {props.merges.map(m => (
        <rect class="merge" x={x(Date.parse(m.from))} y={154} width={Math.max(6, x(Date.parse(m.to)) - x(Date.parse(m.from)))} height={6}>
          <title>{`a merge of ${m.parts} parts runs`}</title>
        </rect>
      ))}
    </svg>
  )
}

export function KeepPage() {
  return (
    <>
      <Title text="Keep" />
      <Shown<Storage> path="api/v1/status/storage">
        {s => (
          <>
            <Facts
              rows={[
                ['Log', `${bytes(s.log.bytes)} in ${s.log.segments} segments`],
                ['In memory', `${count(s.head.samples)} samples of ${count(s.head.series)} series, ${bytes(s.head.bytes)}`],
                [
                  'Parts',
                  `${count(s.parts.samples)} samples in ${s.parts.parts} parts, ${bytes(s.parts.bytes)}` +
                    (s.parts.samples > 0 ? `: ${(s.parts.bytes / s.parts.samples).toFixed(3)} bytes per sample` : ''),
                ],
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
      <Snapshots />
      <Deletion />
    </>
  )
}
