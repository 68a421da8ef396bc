// graphs.tsx - graphs of several metrics of one job and instance, chosen from the list of those that it
// has: of a counter its rate, of others their values. The address has all of it.

import { useEffect, useMemo, useState } from 'preact/hooks'
import { PanelCell } from '../dashboards/panel'
import type { PanelModel } from '../dashboards/grafana'
import { get } from '../lib/api'
import { serverNow } from '../lib/clock'
import { count, seriesText } from '../lib/format'
import { useLoad } from '../ui/load'
import { numbered, Search } from '../ui/page'
import { Check, Failure, Pick } from '../ui/parts'
import { RangePicker, RefreshPick, rangeOf, writeRange } from '../ui/range'
import { go, usePlace } from '../ui/router'
import { useSettings } from '../ui/settings'
import { askNames } from './metrics'
import { uncounted } from './usage'

interface Metric {
  name: string
  type?: string
  help?: string
}

/** A graph: what is drawn of which metric. */
interface Chosen {
  as: 'rate' | 'value'
  name: string
}

const namesMax = 5000
const namesShown = 300
const rows = 8

/** Without metadata, the name says what is a counter. */
function isCounter(m: Metric): boolean {
  const isTyped = m.type !== undefined && m.type !== '' && m.type !== 'unknown'
  return /_(count|sum|bucket)$/.test(m.name) || (isTyped ? m.type === 'counter' : m.name.endsWith('_total'))
}

function chosenOf(values: URLSearchParams): Chosen[] {
  return [...values].flatMap(([as, name]): Chosen[] => (as === 'rate' || as === 'value' ? [{ as, name }] : []))
}

function panelOf(c: Chosen, labels: Record<string, string>, help: string): PanelModel {
  const selector = seriesText({ __name__: c.name, ...labels })
  return {
    id: 0,
    type: 'timeseries',
    title: c.as === 'rate' ? `rate of ${c.name}` : c.name,
    description: help,
    x: 0,
    w: 12,
    h: rows,
    unit: '',
    min: null,
    max: null,
    isStacked: false,
    fill: 0,
    steps: [],
    targets: [{ expr: c.as === 'rate' ? `rate(${selector}[$__rate_interval])` : selector, legend: '' }],
    omitted: ['__name__', ...Object.keys(labels)],
    unknown: [],
  }
}

/** The values of a label; [] until they are there. */
function useValues(label: string, match: string | undefined, times: Record<string, string>): [string[], Error | null] {
  const [load, send] = useLoad<string[]>()
  useEffect(
    () => send(async signal => (await get<string[]>(`api/v1/label/${label}/values`, { 'match[]': match, ...times, ...uncounted, limit: String(namesMax) }, signal)).data),
    [label, match, times],
  )
  return [load.value ?? [], load.error]
}

function LabelPick(props: { label: string; any: string; value: string; values: string[]; onChange: (value: string) => void }) {
  const all = props.value === '' || props.values.includes(props.value) ? props.values : [props.value, ...props.values]
  return <Pick label={props.label} choices={[{ id: '', label: props.any }, ...all.map(id => ({ id, label: id }))]} value={props.value} onChange={props.onChange} />
}

/** The metrics to choose from. */
function Names(props: { metrics: Metric[]; chosen: Chosen[]; onChoose: (metric: Metric, isChosen: boolean) => void }) {
  const [text, setText] = useState('')
  const found = props.metrics.filter(m => m.name.toLowerCase().includes(text.toLowerCase()))
  const isChosen = (m: Metric) => props.chosen.some(c => c.name === m.name)
  return (
    <details class="card" open>
      <summary>
        {numbered(props.metrics.length, 'metric')}, {props.chosen.length} chosen
      </summary>
      <Search label="Metric" value={text} onChange={setText} />
      <div class="choices" role="group" aria-label="Metrics to draw">
        {found.slice(0, namesShown).map(m => (
          <Check key={m.name} label={m.name} value={isChosen(m)} onChange={is => props.onChoose(m, is)} />
        ))}
      </div>
      {found.length > namesShown && <p class="empty">The first {namesShown} are shown; narrow the list with the filter.</p>}
      {props.metrics.length >= namesMax && <p class="empty">The filter looks at {count(namesMax)} metrics, in the order of names; choose a job or an instance for others.</p>}
    </details>
  )
}

export function InstanceGraphs() {
  const place = usePlace()
  const [{ zone }] = useSettings()
  const { values } = place
  const rangeText = ['range_input', 'end_input', 'refresh'].map(n => values.get(n) ?? '').join(' ')
  const range = useMemo(() => rangeOf(values, { seconds: 3600, end: null, refresh: 0 }), [rangeText])
  const job = values.get('job') ?? ''
  const instance = values.get('instance') ?? ''
  const chosen = chosenOf(values)
  const times = useMemo(() => {
    const end = range.end ?? serverNow()
    return { start: String(end - range.seconds), end: String(end) }
  }, [range.seconds, range.end])
  const labels = { ...(job !== '' && { job }), ...(instance !== '' && { instance }) }
  const match = Object.keys(labels).length > 0 ? seriesText(labels) : undefined
  const [jobs, jobsError] = useValues('job', undefined, times)
  const [instances, instancesError] = useValues('instance', job === '' ? undefined : seriesText({ job }), times)
  const [load, send] = useLoad<Metric[]>()
  useEffect(
    () => send(signal => askNames(undefined, { 'match[]': match, ...times, limit: String(namesMax) }, signal)),
    [match, times],
  )
  const metrics = load.value ?? []
  const change = (edit: (values: URLSearchParams) => void) => {
    const next = new URLSearchParams(values)
    edit(next)
    go('explore', next)
  }
  const set = (name: string, value: string) =>
    change(v => {
      if (value === '') v.delete(name)
      else v.set(name, value)
      if (name === 'job') v.delete('instance')
    })
  const without = (c: Chosen) => [...values].filter(([n, v]) => (n !== 'rate' && n !== 'value') || v !== c.name)
  const choose = (c: Chosen, isChosen: boolean) => go('explore', new URLSearchParams(isChosen ? [...without(c), [c.as, c.name]] : without(c)))
  /** The graph keeps its place among the others. */
  const turn = (c: Chosen) => go('explore', new URLSearchParams([...values].map(([n, v]) => [n === c.as && v === c.name ? (c.as === 'rate' ? 'value' : 'rate') : n, v])))
  const error = jobsError ?? instancesError ?? load.error
  return (
    <>
      <div class="controls">
        <LabelPick label="Job" any="any" value={job} values={jobs} onChange={v => set('job', v)} />
        <LabelPick label="Instance" any="all" value={instance} values={instances} onChange={v => set('instance', v)} />
        <RangePicker span={range} onChange={c => change(v => writeRange(v, { ...range, ...c }))} />
        <RefreshPick value={range.refresh} onChange={refresh => change(v => writeRange(v, { ...range, refresh }))} />
      </div>
      {error !== null && <Failure error={error} />}
      {[jobs, instances].some(list => list.length >= namesMax) && <p class="empty">The lists end after {count(namesMax)} jobs or instances; the address takes others, as job=NAME.</p>}
      <Names metrics={metrics} chosen={chosen} onChoose={(m, is) => choose({ as: isCounter(m) ? 'rate' : 'value', name: m.name }, is)} />
      {chosen.length > 0 ? (
        <h2>Graphs</h2>
      ) : load.value?.length === 0 ? (
        <p class="empty">No metric has samples in this range.</p>
      ) : (
        <p class="empty">Choose metrics from the list: each gets a graph.</p>
      )}
      <div class="graphs">
        {chosen.map(c => (
          <div key={`${c.as} ${c.name} ${match}`}>
            <PanelCell
              panel={panelOf(c, labels, metrics.find(m => m.name === c.name)?.help ?? '')}
              chosen={noVariables}
              range={range}
              zone={zone}
              extra={uncounted}
              onZoom={(start, end) => change(v => writeRange(v, { ...range, seconds: Math.max(1, Math.round(end - start)), end }))}
            />
            <p class="row">
              <Check label="Rate" value={c.as === 'rate'} onChange={() => turn(c)} />
              <button type="button" aria-label={`Remove ${c.name}`} onClick={() => choose(c, false)}>
                ×
              </button>
            </p>
          </div>
        ))}
      </div>
    </>
  )
}

const noVariables = {}
