// flow.tsx - the account of samples as a picture: all that came in, on the left, and what became of it,
// on the right. What the account lacks is red.

import { useState } from 'preact/hooks'
import { count, short } from '../lib/format'
import { select, sum, valuesOf } from '../lib/metrics'
import type { Families } from '../lib/metrics'
import { Failure, Notice, Pick } from '../ui/parts'
import { useMetrics } from '../ui/metrics'
import type { Readings } from '../ui/metrics'

interface Fate {
  name: string
  colour: 'good' | 'wait' | 'faint' | 'warn' | 'bad'
  of: (families: Families) => number
  /** It is shown even if nothing has it. */
  always?: boolean
}

function perSecond(rate: number | null): string {
  if (rate === null) return ''
  if (Math.abs(rate) < 0.0005) return '0/s'
  return `${short(Number(rate.toPrecision(3)))}/s`
}

const rowHeight = 30

/** Draws a source and its fates: a band from the share of each on the left to its row on the right. */
function FlowPicture(props: { title: string; source: string; of: (families: Families) => number; fates: Fate[]; readings: Readings }) {
  const { readings } = props
  const rows = props.fates.map(f => ({ ...f, value: f.of(readings.now), rate: readings.rate(f.of) })).filter(r => r.always || r.value !== 0)
  const total = props.of(readings.now)
  const height = rows.length * rowHeight
  const share = rows.reduce((n, r) => n + Math.max(r.value, 0), 0)
  let begin = 0
  const bands = rows.map((r, i) => {
    const size = share > 0 ? (Math.max(r.value, 0) / share) * height : 0
    const top = begin
    begin += size
    const middle = i * rowHeight + rowHeight / 2
    const half = Math.max(size === 0 ? 0 : 1, Math.min(size, rowHeight - 6) / 2)
    const path = `M0 ${top} C50 ${top} 50 ${middle - half} 100 ${middle - half} V${middle + half} C50 ${middle + half} 50 ${top + size} 0 ${top + size} Z`
    return <path class={r.colour} d={path} />
  })
  return (
    <section class="flow" aria-label={props.title}>
      <div class="source">
        <b>{props.source}</b>
        <span>{count(total)}</span>
        <small>{perSecond(readings.rate(props.of))}</small>
      </div>
      <svg viewBox={`0 0 100 ${height}`} preserveAspectRatio="none" aria-hidden="true" style={{ height: `${height}px` }}>
        {bands}
      </svg>
      <ul>
        {rows.map(r => (
          <li class={r.colour}>
            <span>{r.name}</span>
            <b>{count(r.value)}</b>
            <small>{perSecond(r.rate)}</small>
          </li>
        ))}
      </ul>
    </section>
  )
}

type Thing = 'samples' | 'exemplars'

const kinds: Record<Thing, string[]> = { samples: ['float', 'histogram'], exemplars: ['exemplar'] }
const things = [
  { id: 'samples', label: 'Samples' },
  { id: 'exemplars', label: 'Exemplars' },
]

interface Scope {
  thing: Thing
  /** Undefined: all. */
  tenant: string | undefined
}

/** Sums a family of the store's account. */
function ofStore(scope: Scope, family: string, reason?: string) {
  return (f: Families) => kinds[scope.thing].reduce((n, kind) => n + sum(f, family, { kind, tenant: scope.tenant, reason }), 0)
}

function storeFates(families: Families, scope: Scope): Fate[] {
  const fate = (name: string, colour: Fate['colour'], family: string, always = false): Fate => ({ name, colour, always, of: ofStore(scope, family) })
  const refused = 'firekeep_samples_rejected_total'
  const isRefused = ofStore(scope, refused)(families) > 0
  const reasons = isRefused ? valuesOf(families, refused, 'reason') : []
  return [
    fate('stored in parts', 'good', 'firekeep_samples_stored', true),
    fate('in memory and log', 'wait', 'firekeep_samples_pending', true),
    fate('passed on, not stored', 'good', 'firekeep_samples_passed_on_total'),
    fate('received before', 'faint', 'firekeep_samples_duplicate_total', true),
    fate('another value came first', 'warn', 'firekeep_samples_superseded_total'),
    fate('its window had it when it came', 'faint', 'firekeep_samples_superseded_by_windows_total'),
    fate('its window was made without it', 'bad', 'firekeep_samples_missed_by_windows_total'),
    ...(isRefused ? [] : [fate('refused', 'warn', refused, true)]),
    ...reasons.map((reason): Fate => ({ name: `refused: ${reason.replaceAll('_', ' ')}`, colour: 'warn', of: ofStore(scope, refused, reason) })),
    fate('downsampled', 'good', 'firekeep_samples_downsampled_total'),
    fate('expired', 'faint', 'firekeep_samples_expired_total', true),
    fate('deleted', 'faint', 'firekeep_samples_deleted_total', true),
    fate('damaged', 'bad', 'firekeep_samples_damaged_total'),
    { name: 'not accounted for', colour: 'bad', of: f => differenceOf(f, scope, m => 'tenant' in m) },
  ]
}

function differenceOf(families: Families, scope: Scope, isOf: (labels: Record<string, string>) => boolean): number {
  return kinds[scope.thing]
    .flatMap(kind => select(families, 'firekeep_ledger_difference', { kind }))
    .filter(m => isOf(m.labels) && (scope.tenant === undefined || m.labels['tenant'] === scope.tenant))
    .reduce((n, m) => n + m.value, 0)
}

function destinationFates(families: Families, thing: Thing, destination: string): Fate[] {
  const family = (what: string) => `firekeep_destination_${thing}_${what}`
  const of = (what: string, reason?: string) => (f: Families) => sum(f, family(what), { destination, reason })
  return [
    { name: 'delivered', colour: 'good', always: true, of: of('delivered_total') },
    { name: 'waiting', colour: 'wait', always: true, of: of('queued') },
    { name: 'dead letters', colour: 'warn', always: true, of: of('dead_lettered_total') },
    ...valuesOf(families, family('dropped_total'), 'reason').map(
      (reason): Fate => ({ name: `dropped: ${reason.replaceAll('_', ' ')}`, colour: 'warn', of: of('dropped_total', reason) }),
    ),
    {
      name: 'not accounted for',
      colour: 'bad',
      of: f => differenceOf(f, { thing, tenant: undefined }, m => m['destination'] === destination),
    },
  ]
}

function takenOf(thing: Thing, destination: string) {
  const family = `firekeep_destination_${thing}_taken`
  return (f: Families) => sum(f, `${family}_total`, { destination }) + sum(f, `${family}_again_total`, { destination })
}

/** The account of the store and of each destination. */
export function Flow() {
  const load = useMetrics()
  const [thing, setThing] = useState<Thing>('samples')
  const [tenant, setTenant] = useState('')
  if (load.error !== null) return <Failure error={load.error} />
  if (load.value === null) return <p class="empty">Loading…</p>
  const readings = load.value
  const scope: Scope = { thing, tenant: tenant === '' ? undefined : tenant }
  const tenants = valuesOf(readings.now, 'firekeep_samples_received_total', 'tenant')
  const destinations = valuesOf(readings.now, 'firekeep_destination_open', 'destination')
  const difference = select(readings.now, 'firekeep_ledger_difference').reduce((n, m) => n + Math.abs(m.value), 0)
  return (
    <>
      <Notice kind={difference === 0 ? 'info' : 'error'}>
        {difference === 0 ? 'Every item received is accounted for.' : `${count(difference)} items are not accounted for; run firekeep verify on a snapshot.`}
      </Notice>
      <div class="controls">
        <Pick label="Items" choices={things} value={thing} onChange={t => setThing(t as Thing)} />
        {tenants.length > 1 && (
          <Pick
            label="Tenant"
            choices={[{ id: '', label: 'All' }, ...tenants.map(t => ({ id: t, label: t }))]}
            value={tenant}
            onChange={setTenant}
          />
        )}
      </div>
      <FlowPicture
        title="The store"
        source="Received"
        of={ofStore(scope, 'firekeep_samples_received_total')}
        fates={storeFates(readings.now, scope)}
        readings={readings}
      />
      {destinations.map(d => (
        <FlowPicture
          key={d}
          title={`Destination ${d}`}
          source={`→ ${d}`}
          of={takenOf(thing, d)}
          fates={destinationFates(readings.now, thing, d)}
          readings={readings}
        />
      ))}
    </>
  )
}
