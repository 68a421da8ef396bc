// keep.tsx - what the store holds, and the account of every sample received.

import { get } from '../lib/api'
import { bytes, count } from '../lib/format'
import { useLoad, useRepeat } from '../ui/load'
import { Facts, Shown, Title } from '../ui/page'
import { Failure } from '../ui/parts'
import { Deletion } from './deletion'
import { Snapshots } from './snapshots'

interface Partition {
  from: string
  to: string
  parts: number
  samples: number
  exemplars: number
  bytes: number
}

interface Storage {
  log: { bytes: number; segments: number }
  head: { bytes: number; samples: number; exemplars: number; series: number }
  parts: { parts: number; samples: number; exemplars: number; bytes: number; dataBytes: number; indexBytes: number }
  partitions: Partition[]
}

/** Parts on an axis of time: the height is the number of bytes. */
function Timeline(props: { partitions: Partition[] }) {
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
            <title>{`${p.from} to ${p.to}: ${count(p.samples)} samples, ${bytes(p.bytes)}`}</title>
          </rect>
        )
      })}
    </svg>
  )
}

interface Metric {
  labels: Record<string, string>
  value: number
}

/** Reads the samples of the text format: counters and gauges, without time stamps. */
export function parseMetrics(text: string): Map<string, Metric[]> {
  const families = new Map<string, Metric[]>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const m = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/.exec(line)
    if (m === null) continue
    const labels: Record<string, string> = {}
    for (const l of (m[2] ?? '').matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[l[1]!] = l[2]!.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c))
    }
    const list = families.get(m[1]!) ?? []
    list.push({ labels, value: Number(m[3]) })
    families.set(m[1]!, list)
  }
  return families
}

function useMetrics(seconds: number) {
  const [load, send] = useLoad<Map<string, Metric[]>>()
  useRepeat(() => send(async signal => parseMetrics(await get.text('metrics', signal))), seconds, [])
  return load
}

function Ledger() {
  const load = useMetrics(5)
  if (load.error !== null) return <Failure error={load.error} />
  if (load.value === null) return <p class="empty">Loading…</p>
  const families = load.value
  const sum = (name: string) => (families.get(name) ?? []).reduce((n, m) => n + m.value, 0)
  const rows = [...families.keys()].filter(n => /^firekeep_(ledger|samples|rejected)/.test(n)).sort()
  const difference = sum('firekeep_ledger_difference')
  return (
    <>
      <p class={difference !== 0 ? 'notice error' : 'notice info'}>
        {difference === 0 ? 'Every item received is accounted for.' : `${count(difference)} items are not accounted for.`}
      </p>
      <div class="scroll">
        <table>
          <tbody>
            {rows.flatMap(name =>
              families.get(name)!.map(m => (
                <tr>
                  <td>
                    <code>{name}</code> {Object.entries(m.labels).map(([n, v]) => `${n}=${v}`).join(', ')}
                  </td>
                  <td class="number">{count(m.value)}</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
    </>
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
            <Timeline partitions={s.partitions} />
          </>
        )}
      </Shown>
      <h2>Account of every sample</h2>
      <Ledger />
      <Snapshots />
      <Deletion />
    </>
  )
}
