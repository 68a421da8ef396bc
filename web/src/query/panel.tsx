// panel.tsx - one expression with its graph, table, raw samples or plan.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ask } from '../lib/api'
import type { Answer } from '../lib/api'
import { bytes, count, duration, seriesText } from '../lib/format'
import { formatDuration, formatTime, parseDuration, parseTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { useLoad, useRepeat } from '../ui/load'
import { Check, Failure, Field, Notice, Pick, Tabs } from '../ui/parts'
import { Chart, colourOf } from './chart'
import { ExpressionField } from './editor'
import type { Mode, Panel, Tab } from './panels'
import { Plan } from './plan'
import type { Operator } from './plan'
import { columnsOf, isOfSeries } from './result'
import type { Result } from './result'
import { Legend, ResultTable } from './table'
import { addMatcher } from './edit'
import { csvOf, save, savePicture } from './export'

const tabs = [
  { id: 'table', label: 'Table' },
  { id: 'graph', label: 'Graph' },
  { id: 'explain', label: 'Why' },
]
const modes = [
  { id: 'lines', label: 'Lines' },
  { id: 'stacked', label: 'Stacked' },
]

/** An answer with the question that it belongs to. */
interface Outcome {
  tab: Tab
  answer: Answer<unknown>
  start: number
  end: number
  step: number
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400]

/** The least step of a round length that gives at most one point for each pixel. */
function stepFor(range: number, width: number): number {
  const least = range / Math.max(width, 100)
  return steps.find(s => s >= least) ?? Math.ceil(least / 86400) * 86400
}

async function fetchOutcome(p: Panel, width: number, signal: AbortSignal): Promise<Outcome> {
  const end = p.end ?? Date.now() / 1000
  const step = p.step ?? stepFor(p.range, width)
  const lookback = p.lookback === null ? undefined : formatDuration(p.lookback)
  const common = { query: p.expr, lookback_delta: lookback, stats: 'all' }
  if (p.tab === 'graph') {
    // Whole steps, so that a graph that is refreshed keeps its points.
    const last = Math.floor(end / step) * step
    const first = Math.ceil((end - p.range) / step) * step
    const answer = await ask<Result>('api/v1/query_range', { ...common, start: String(first), end: String(last), step: String(step) }, signal)
    return { tab: p.tab, answer, start: first, end: last, step }
  }
  if (p.tab === 'explain') {
    const answer = await ask<Operator>(
      'api/v1/explain',
      { query: p.expr, lookback_delta: lookback, analyze: 'true', start: String(end - p.range), end: String(end), step: String(step) },
      signal,
    )
    return { tab: p.tab, answer, start: end - p.range, end, step }
  }
  const time = p.end === null ? undefined : String(end)
  const answer = await ask<Result>('api/v1/query', { ...common, time }, signal)
  return { tab: p.tab, answer, start: end, end, step }
}

function Exports(props: { outcome: Outcome; box: HTMLElement | null }) {
  const data = props.outcome.answer.data as Result
  const picture = () => {
    const canvas = props.box?.querySelector('canvas')
    if (canvas) savePicture(canvas)
  }
  return (
    <span class="row">
      <button type="button" onClick={() => save('firekeep.csv', 'text/csv', csvOf(data))}>
        CSV
      </button>
      <button type="button" onClick={() => save('firekeep.json', 'application/json', JSON.stringify(data))}>
        JSON
      </button>
      {props.outcome.tab === 'graph' && (
        <button type="button" onClick={picture}>
          PNG
        </button>
      )}
    </span>
  )
}

/** The numbers beside a result: time, samples, series, size. */
function Costs(props: { outcome: Outcome; seconds: number }) {
  const data = props.outcome.answer.data as Result
  const s = data.stats
  const parts = [`${duration(props.seconds)} in all`]
  const evaluated = s?.timings['execTotalTime'] ?? s?.timings['evalTotalTime']
  if (evaluated !== undefined) parts.push(`${duration(evaluated)} evaluated`)
  if (s?.samples !== undefined) {
    parts.push(`${count(s.samples.totalQueryableSamples)} samples read`, `${count(s.samples.peakSamples)} held at most`)
  }
  if (isOfSeries(data)) parts.push(`${count(data.result.length)} series`)
  parts.push(bytes(props.outcome.answer.bytes))
  if (props.outcome.tab === 'graph') parts.push(`step ${formatDuration(props.outcome.step)}`)
  return <p class="costs">{parts.join(' · ')}</p>
}

function Graph(props: { panel: Panel; outcome: Outcome; zone: Zone; onZoom: (start: number, end: number) => void; onFilter: (n: string, v: string) => void }) {
  const { outcome, panel } = props
  const data = outcome.answer.data as Result
  const series = isOfSeries(data) ? data.result : []
  const columns = useMemo(() => columnsOf(series, outcome.start, outcome.end, outcome.step), [outcome])
  const names = useMemo(() => series.map(s => seriesText(s.metric)), [outcome])
  const colours = useMemo(() => series.map((_, i) => colourOf(i)), [outcome])
  const last = useMemo(() => columns.values.map(c => c.reduce((l, v) => v ?? l, null)), [columns])
  const [shown, setShown] = useState<Set<number> | null>(null)
  const [point, setPoint] = useState<{ time: number; values: (number | null)[] } | null>(null)
  useEffect(() => setShown(null), [names.join('\n')])
  if (series.length === 0) return <p class="empty">The expression has no result in this range.</p>
  return (
    <>
      <Chart
        columns={columns}
        names={names}
        zone={props.zone}
        isStacked={panel.mode === 'stacked'}
        isLog={panel.log}
        thresholds={panel.thresholds}
        shown={shown}
        onZoom={props.onZoom}
        onPoint={(at, times, values) => setPoint(at === null ? null : { time: times[at]!, values: values.map(v => v[at] ?? null) })}
      />
      <p class="point">{point === null ? ' ' : formatTime(point.time, props.zone)}</p>
      <Legend series={series} colours={colours} values={point?.values ?? last} shown={shown} onShow={setShown} onFilter={props.onFilter} />
    </>
  )
}

export function PanelView(props: {
  panel: Panel
  zone: Zone
  refresh: number
  isAlone: boolean
  onChange: (change: Partial<Panel>) => void
  onRemove: () => void
}) {
  const { panel, onChange } = props
  /** What the page puts into the editor; what is typed there is in `draft`. */
  const [given, setGiven] = useState({ text: panel.expr })
  const draft = useRef(panel.expr)
  const [load, send] = useLoad<Outcome>()
  const [trouble, setTrouble] = useState<Error | null>(null)
  const box = useRef<HTMLElement>(null)
  const give = (text: string) => {
    draft.current = text
    setGiven({ text })
  }
  useEffect(() => give(panel.expr), [panel.expr])

  const run = () => {
    if (panel.expr.trim() === '') return
    const width = box.current?.clientWidth ?? 1000
    send(signal => fetchOutcome(panel, width, signal))
  }
  useRepeat(run, panel.end === null ? props.refresh : 0, [panel])
  const submit = (expr = draft.current) => {
    setTrouble(null)
    // An unchanged expression is evaluated again all the same.
    onChange({ expr })
  }
  const format = async () => {
    try {
      const { data } = await ask<string>('api/v1/format_query', { query: draft.current })
      setTrouble(null)
      give(data)
    } catch (e) {
      setTrouble(e as Error)
    }
  }
  const filter = (name: string, value: string) => submit(addMatcher(panel.expr, name, value))
  const move = (by: number) => onChange({ end: (panel.end ?? Date.now() / 1000) + by })

  const error = trouble ?? load.error
  const outcome = load.value !== null && load.value.tab === panel.tab ? load.value : null
  return (
    <section class="panel" ref={box} aria-busy={load.isLoading} aria-label={`Expression ${panel.expr}`}>
      <div class="ask">
        <ExpressionField
          given={given}
          label="Expression"
          error={error?.message ?? null}
          onChange={text => (draft.current = text)}
          onRun={submit}
        />
        <button type="button" class="primary" onClick={() => submit()}>
          Run
        </button>
        <button type="button" onClick={format}>
          Format
        </button>
        {!props.isAlone && (
          <button type="button" onClick={props.onRemove} aria-label="Remove this expression">
            ×
          </button>
        )}
      </div>
      <div class="controls">
        <Tabs label="View" choices={tabs} value={panel.tab} onChange={tab => onChange({ tab: tab as Tab })} />
        {panel.tab !== 'table' && (
          <Field
            label="Range"
            size={5}
            value={formatDuration(panel.range)}
            wrong={t => !(parseDuration(t) > 0)}
            onChange={t => onChange({ range: parseDuration(t) })}
          />
        )}
        <button type="button" aria-label="Earlier" onClick={() => move(-panel.range / 2)}>
          ◀
        </button>
        <Field
          label={panel.tab === 'graph' ? 'End' : 'Time'}
          size={17}
          placeholder="now"
          value={panel.end === null ? '' : formatTime(panel.end, props.zone)}
          wrong={t => t !== '' && Number.isNaN(parseTime(t, props.zone))}
          onChange={t => onChange({ end: t === '' || t.trim() === 'now' ? null : parseTime(t, props.zone) })}
        />
        <button type="button" aria-label="Later" onClick={() => move(panel.range / 2)}>
          ▶
        </button>
        {panel.end !== null && (
          <button type="button" onClick={() => onChange({ end: null })}>
            Now
          </button>
        )}
        {panel.tab !== 'table' && (
          <Field
            label="Step"
            size={5}
            placeholder="auto"
            value={panel.step === null ? '' : formatDuration(panel.step)}
            wrong={t => t !== '' && !(parseDuration(t) > 0)}
            onChange={t => onChange({ step: t === '' ? null : parseDuration(t) })}
          />
        )}
        <Field
          label="Look-back"
          size={5}
          placeholder="default"
          value={panel.lookback === null ? '' : formatDuration(panel.lookback)}
          wrong={t => t !== '' && !(parseDuration(t) > 0)}
          onChange={t => onChange({ lookback: t === '' ? null : parseDuration(t) })}
        />
        {panel.tab === 'graph' && (
          <>
            <Pick label="Mode" choices={modes} value={panel.mode} onChange={m => onChange({ mode: m as Mode })} />
            <Field
              label="Thresholds"
              size={8}
              value={panel.thresholds.join(', ')}
              wrong={t => t.trim() !== '' && t.split(',').some(n => n.trim() === '' || !Number.isFinite(Number(n)))}
              onChange={t => onChange({ thresholds: t.trim() === '' ? [] : t.split(',').map(Number) })}
            />
            <Check label="Log axis" value={panel.log} onChange={log => onChange({ log })} />
          </>
        )}
      </div>
      {error !== null && <Failure error={error} />}
      {error === null && outcome !== null && (
        <>
          {outcome.answer.warnings.map(w => <Notice kind="warning">{w}</Notice>)}
          {outcome.answer.infos.map(i => <Notice kind="info">{i}</Notice>)}
          {panel.tab === 'table' && <ResultTable data={outcome.answer.data as Result} zone={props.zone} onFilter={filter} />}
          {panel.tab === 'graph' && (
            <Graph panel={panel} outcome={outcome} zone={props.zone} onFilter={filter} onZoom={(start, end) => onChange({ range: end - start, end })} />
          )}
          {panel.tab === 'explain' ? (
            <Plan plan={outcome.answer.data as Operator} />
          ) : (
            <footer class="title">
              <Costs outcome={outcome} seconds={load.seconds} />
              <Exports outcome={outcome} box={box.current} />
            </footer>
          )}
        </>
      )}
      {error === null && outcome === null && !load.isLoading && <p class="empty">Enter an expression, such as up.</p>}
    </section>
  )
}
