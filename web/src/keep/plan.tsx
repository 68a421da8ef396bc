// plan.tsx - a test of a destination, and a plan: what it would receive, and what that costs.

import { useState } from 'preact/hooks'
import { command } from '../lib/api'
import { bytes, count } from '../lib/format'
import { useLoad } from '../ui/load'
import { Facts } from '../ui/page'
import { Check, Failure, Notice, Pick } from '../ui/parts'

interface Findings {
  ok: boolean
  findings: { what: string; ok: boolean; reason: string; said: string; advice: string }[]
}

export function Test(props: { name: string }) {
  const [load, send] = useLoad<Findings>()
  const [isWritten, setWritten] = useState(false)
  const path = `api/v1/admin/destination_test/${encodeURIComponent(props.name)}`
  return (
    <section class="card" aria-label={`Test of ${props.name}`} aria-busy={load.isLoading}>
      <span class="row">
        <button type="button" disabled={load.isLoading} onClick={() => send(() => command<Findings>(path, { write: isWritten ? 'true' : undefined }))}>
          {load.isLoading ? 'Testing…' : 'Run the test'}
        </button>
        <Check label="and send one sample" value={isWritten} onChange={setWritten} />
      </span>
      {load.error !== null && <Failure error={load.error} />}
      {load.value !== null && load.error === null && (
        <>
          <ul class="findings">
            {load.value.findings.map(f => (
              <li>
                <span class={`state ${f.ok ? 'ok' : 'err'}`}>{f.ok ? 'ok' : 'failed'}</span> <b>{f.what}</b> {f.said !== '' ? f.said : f.reason}
                {f.advice !== '' && (
                  <>
                    <br />→ {f.advice}
                  </>
                )}
              </li>
            ))}
          </ul>
          <Notice kind={load.value.ok ? 'info' : 'error'}>{load.value.ok ? 'Everything works.' : 'Checks that depend on a failed one were left out.'}</Notice>
        </>
      )}
    </section>
  )
}

interface PlanAnswer {
  name: string
  type: string
  from: string
  to: string
  stored: number
  samples: number
  exemplars: number
  metadata: number
  series: number
  calls: number
  bytes: number
  bytesAreExact: boolean
  unit?: string
  units?: number
  drops: boolean
  unrepresentable: { items: number; why: string; example: string }[]
  others: number
  mapped: { what: string; samples: number; example: string }[]
  damage: string
}

function PlanResult(props: { plan: PlanAnswer }) {
  const p = props.plan
  const days = (Date.parse(p.to) - Date.parse(p.from)) / 86_400_000
  const daily = (n: number) => count(Math.round(n / days))
  const unfit = p.unrepresentable.reduce((n, u) => n + u.items, p.others)
  return (
    <>
      {p.damage !== '' && <Notice kind="error">{p.damage}</Notice>}
      <Facts
        rows={[
          ['Would receive', `${count(p.samples)} of ${count(p.stored)} samples, ${count(p.exemplars)} exemplars, ${count(p.metadata)} metadata entries`],
          ['Per day', `${daily(p.samples)} samples of ${count(p.series)} series at a time`],
          ['Requests', `${count(p.calls)}, ${daily(p.calls)} per day`],
          ['Bytes', `${bytes(p.bytes)}${p.bytesAreExact ? '' : ' (estimate)'}, ${bytes(p.bytes / days)} per day`],
          ['Billed', p.unit === undefined ? 'nothing' : `${count(p.units!)} ${p.unit.replaceAll('_', ' ')}, ${daily(p.units!)} per day`],
          [p.drops ? 'Would be dropped' : 'Would be dead letters', <span class={unfit > 0 ? 'bad' : ''}>{count(unfit)}</span>],
        ]}
      />
      {[...p.unrepresentable.map(u => ({ n: u.items, text: u.why, example: u.example })), ...p.mapped.map(m => ({ n: m.samples, text: `${m.what} in another, reversible form`, example: m.example }))].map(
        r => (
          <p>
            {count(r.n)}: {r.text} <code>{r.example}</code>
          </p>
        ),
      )}
    </>
  )
}

const spans = [
  { id: 'now-15m', label: '15 minutes' },
  { id: 'now-1h', label: 'hour' },
  { id: 'now-6h', label: '6 hours' },
  { id: 'now-1d', label: 'day' },
]

function PlanForm(props: { name: string; yaml?: string }) {
  const [load, send] = useLoad<PlanAnswer>()
  const [from, setFrom] = useState('now-1h')
  const path = `api/v1/admin/destination_plan/${encodeURIComponent(props.name)}`
  return (
    <>
      <span class="row">
        <button type="button" disabled={load.isLoading || props.name === ''} onClick={() => send(() => command<PlanAnswer>(path, { from }, props.yaml))}>
          {load.isLoading ? 'Counting…' : 'Plan'}
        </button>
        <Pick label="with the samples of the last" choices={spans} value={from} onChange={setFrom} />
      </span>
      {load.error !== null && <Failure error={load.error} />}
      {load.value !== null && load.error === null && <PlanResult plan={load.value} />}
    </>
  )
}

export function Plan(props: { name: string }) {
  return (
    <section class="card" aria-label={`Plan of ${props.name}`} aria-live="polite">
      <PlanForm name={props.name} />
    </section>
  )
}

const sample = `destinations:
  - name: archive
    type: s3
    region: eu-west-1
    bucket: our-metrics
    select: ['{job="node"}']
`

/** A destination that is not configured: its configuration is typed. */
export function PlanOfText() {
  const [yaml, setYaml] = useState(sample)
  const name = /\bname:\s*["']?([^\s"',}]+)/.exec(yaml)?.[1] ?? ''
  return (
    <section class="card" aria-label="Plan of a new destination">
      <p>What a destination would receive, send and cost, before it is configured. Nothing is sent.</p>
      <textarea class="code" rows={8} spellcheck={false} aria-label="Configuration of a destination" value={yaml} onInput={e => setYaml(e.currentTarget.value)} />
      <PlanForm name={name} yaml={yaml} />
    </section>
  )
}
