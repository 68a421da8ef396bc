// panel.tsx - one expression with its graph, table, raw samples, parts or plan.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ask } from '../lib/api'
import type { Answer } from '../lib/api'
import { bytes, count, duration, seriesText, short } from '../lib/format'
import { formatDuration, formatTime, parseDuration } from '../lib/time'
import type { Zone } from '../lib/time'
import { Lazy } from '../ui/lazy'
import { useLoad, useRepeat } from '../ui/load'
import { Check, Failure, Field, Notice, Pick, Tabs } from '../ui/parts'
import { MomentPicker, RangePicker, zoomed } from '../ui/range'
import { isClassic } from './buckets'
import { Chart } from './chart'
import { colourOf } from './colour'
import { ExpressionField } from './editor'
import { ExemplarList, TraceLink, drawn, fetchExemplars } from './exemplars'
import type { Exemplar } from './exemplars'
import { History, remember } from './history'
import { askMatrix } from './matrix'
import type { Grid } from './matrix'
import { axisOf, axisText, panelsOf, valuesOf } from './panels'
import type { Mode, Panel, Tab } from './panels'
import { Plan } from './plan'
import type { Operator } from './plan'
import { isOfSeries, lastOf, roundStep } from './result'
import type { Columns, Result, Series } from './result'
import { Legend, ResultTable } from './table'
import { addMatcher } from './edit'
import { csvOf, save, savePicture } from './export'

const tabs = [
  { id: 'table', label: 'Table' },
  { id: 'graph', label: 'Graph' },
  { id: 'raw', label: 'Raw' },
  { id: 'tree', label: 'Parts' },
  { id: 'explain', label: 'Why' },
]
const modes = [
  { id: 'lines', label: 'Lines' },
  { id: 'stacked', label: 'Stacked' },
  { id: 'heatmap', label: 'Heatmap' },
]

/** An answer with the question that it belongs to. */
interface Outcome {
  tab: Tab
  answer: Answer<unknown>
  exemplars: Exemplar[]
  /** Values of the series of a graph. */
  columns: Columns
  start: number
  end: number
  step: number
}

const noAnswer: Answer<null> = { data: null, warnings: [], infos: [], bytes: 0 }
const noColumns: Columns = { times: new Float64Array(), values: [] }

/** The parameters of a range query. Whole steps, so that a graph that is refreshed keeps its points. */
function rangeOf(p: Panel, end: number, step: number): Grid {
  return { start: Math.ceil((end - p.seconds) / step) * step, end: Math.floor(end / step) * step, step }
}

function rangeValues(p: Panel, grid: Grid): Record<string, string | undefined> {
  return {
    query: p.expr,
    lookback_delta: p.lookback === null ? undefined : formatDuration(p.lookback),
    stats: 'cost',
    nocache: p.cache ? undefined : '1',
    start: String(grid.start),
    end: String(grid.end),
    step: String(grid.step),
  }
}

async function fetchOutcome(p: Panel, width: number, signal: AbortSignal): Promise<Outcome> {
  const end = p.end ?? Date.now() / 1000
  const step = p.step ?? roundStep(p.seconds / Math.max(width, 100))
  const lookback = p.lookback === null ? undefined : formatDuration(p.lookback)
  const outcome = { tab: p.tab, answer: noAnswer, exemplars: [], columns: noColumns, start: end - p.seconds, end, step }
  switch (p.tab) {
    case 'graph': {
      const grid = rangeOf(p, end, step)
      const [matrix, exemplars] = await Promise.all([
        askMatrix(rangeValues(p, grid), grid, signal),
        p.exemplars ? fetchExemplars(p.expr, end - p.seconds, end, signal) : [],
      ])
      return { ...outcome, ...grid, ...matrix, exemplars }
    }
    case 'explain': {
      const values = { query: p.expr, lookback_delta: lookback, analyze: 'true', start: String(end - p.seconds), end: String(end), step: String(step) }
      return { ...outcome, answer: await ask<Operator>('api/v1/explain', values, signal) }
    }
    case 'table': {
      const time = p.end === null ? undefined : String(end)
      return { ...outcome, answer: await ask<Result>('api/v1/query', { query: p.expr, lookback_delta: lookback, stats: 'cost', time }, signal) }
    }
    case 'raw':
    case 'tree':
      return outcome // They ask for themselves.
  }
}

function Exports(props: { panel: Panel; outcome: Outcome; box: HTMLElement | null; onError: (error: Error) => void }) {
  const { outcome } = props
  const picture = () => {
    const canvas = props.box?.querySelector('canvas')
    if (canvas) savePicture(canvas, props.panel.expr)
  }
  /** The samples of a graph are asked for again: the page keeps only what it draws. */
  const saveAs = async (name: string, type: string, write: (data: Result) => string) => {
    try {
      const data =
        outcome.tab === 'graph' ? (await ask<Result>('api/v1/query_range', rangeValues(props.panel, outcome))).data : (outcome.answer.data as Result)
      save(name, type, write(data))
    } catch (e) {
      props.onError(e as Error)
    }
  }
  return (
    <span class="row">
      <button type="button" onClick={() => saveAs('firekeep.csv', 'text/csv', csvOf)}>
        CSV
      </button>
      <button type="button" onClick={() => saveAs('firekeep.json', 'application/json', JSON.stringify)}>
        JSON
      </button>
      {outcome.tab === 'graph' && (
        <button type="button" onClick={picture}>
          PNG
        </button>
      )}
    </span>
  )
}

/** The numbers beside a result: time, samples, series, memory, cache, size. */
function Costs(props: { outcome: Outcome; seconds: number }) {
  const data = props.outcome.answer.data as Result
  const cost = data.stats?.cost
  const parts = [`${duration(props.seconds)} in all`]
  const evaluated = data.stats?.timings['execTotalTime']
  if (evaluated !== undefined) parts.push(`${duration(evaluated)} evaluated`)
  if (isOfSeries(data)) parts.push(`${count(data.result.length)} series`)
  if (cost !== undefined) {
    parts.push(`${short(cost.samplesRead)} samples read of ${short(cost.seriesRead)} series`)
    if (cost.peakBytes !== undefined) parts.push(`${bytes(cost.peakBytes)} memory`)
    if (props.outcome.tab === 'graph') parts.push(`${count(cost.cachedSteps)} of ${count(cost.steps)} steps from the cache`)
  }
  parts.push(`${bytes(props.outcome.answer.bytes)} answer`)
  if (props.outcome.tab === 'graph') parts.push(`step ${formatDuration(props.outcome.step)}`)
  return <p class="costs">{parts.join(' · ')}</p>
}

interface GraphProps {
  panel: Panel
  outcome: Outcome
  zone: Zone
  onChange: (change: Partial<Panel>) => void
  onFilter: (name: string, value: string) => void
}

function LazyHeatmap(props: GraphProps & { series: Series[] }) {
  const { outcome } = props
  const zoom = (start: number, end: number) => props.onChange({ seconds: end - start, end })
  return (
    <Lazy load={() => import('./heatmap')}>
      {m => <m.Heatmap series={props.series} values={outcome.columns} grid={outcome} zone={props.zone} onZoom={zoom} />}
    </Lazy>
  )
}

function Lines(props: GraphProps & { series: Series[] }) {
  const { outcome, panel, series } = props
  const { columns } = outcome
  const colours = useMemo(() => series.map((_, i) => colourOf(i)), [outcome])
  const last = useMemo(() => Float64Array.from(columns.values, lastOf), [columns])
  const dots = useMemo(() => drawn(outcome.exemplars), [outcome])
  const identity = useMemo(() => series.map(s => seriesText(s.metric)).join('\n'), [outcome])
  const [shown, setShown] = useState<Set<number> | null>(null)
  const [point, setPoint] = useState<{ time: number; values: Float64Array } | null>(null)
  const [exemplar, setExemplar] = useState<Exemplar | null>(null)
  useEffect(() => setShown(null), [identity])
  useEffect(() => setExemplar(null), [outcome])
  return (
    <>
      <Chart
        columns={columns}
        count={series.length}
        zone={props.zone}
        isStacked={panel.mode === 'stacked'}
        isLog={panel.log}
        thresholds={panel.thresholds}
        axis={panel.axis}
        exemplars={dots}
        shown={shown}
        onZoom={(start, end) => props.onChange({ seconds: end - start, end })}
        onScale={factor => props.onChange(zoomed(panel, factor))}
        onPoint={(at, drawn) => setPoint(at === null ? null : { time: drawn.times[at]!, values: Float64Array.from(drawn.values, v => v[at]!) })}
        onExemplar={setExemplar}
      />
      <p class="point" aria-live="polite">
        {point === null ? ' ' : formatTime(point.time, props.zone)}
        {exemplar !== null && (
          <>
            {' '}
            · exemplar {exemplar.value} at {formatTime(exemplar.time, props.zone)} <code>{seriesText(exemplar.labels)}</code>{' '}
            <TraceLink labels={exemplar.labels} />
          </>
        )}
      </p>
      {panel.exemplars && <ExemplarList exemplars={outcome.exemplars} zone={props.zone} />}
      <div class="scroll">
        <Legend
          series={series}
          colours={colours}
          columns={columns}
          values={point?.values ?? last}
          valuesAre={point === null ? 'Last' : 'Value'}
          shown={shown}
          onShow={setShown}
          onFilter={props.onFilter}
        />
      </div>
    </>
  )
}

function Graph(props: GraphProps) {
  const data = props.outcome.answer.data as Result
  const series = isOfSeries(data) ? data.result : []
  if (series.length === 0) return <p class="empty">The expression has no result in this range.</p>
  const isHistogram = series.some(s => s.histograms !== undefined) || isClassic(series)
  const isHeatmap = props.panel.mode === 'heatmap'
  if (isHeatmap && isHistogram) return <LazyHeatmap {...props} series={series} />
  return (
    <>
      {isHeatmap && <Notice kind="info">The result has no histograms, and is shown as lines.</Notice>}
      {!isHeatmap && isHistogram && (
        <Notice kind="info">
          {isClassic(series) ? 'The series are buckets of a histogram.' : 'Lines show the sums of histograms.'}{' '}
          <button type="button" onClick={() => props.onChange({ mode: 'heatmap' })}>
            Show a heatmap
          </button>
        </Notice>
      )}
      <Lines {...props} series={series} />
    </>
  )
}

/** The views that ask for themselves. */
function LazyView(props: { panel: Panel; outcome: Outcome; zone: Zone }) {
  const { outcome, panel } = props
  if (panel.tab === 'raw') {
    return (
      <Lazy key="raw" load={() => import('./raw')}>
        {m => <m.Raw expr={panel.expr} start={outcome.start} end={outcome.end} zone={props.zone} asked={outcome} />}
      </Lazy>
    )
  }
  const lookback = panel.lookback === null ? undefined : formatDuration(panel.lookback)
  return (
    <Lazy key="tree" load={() => import('./tree')}>
      {m => <m.Tree expr={panel.expr} moment={{ time: String(outcome.end), lookback_delta: lookback }} asked={outcome} />}
    </Lazy>
  )
}

/** Copies the address of the page, for others to open. What is shown up to now keeps its times. */
function CopyLink() {
  const [text, setText] = useState('Copy link')
  const copy = async () => {
    const address = new URL(location.href)
    const now = Math.floor(Date.now() / 1000)
    address.search = valuesOf(panelsOf(address.searchParams).map(p => ({ ...p, end: p.end ?? now }))).toString()
    try {
      await navigator.clipboard.writeText(address.href)
      setText('Copied')
    } catch {
      setText('Copy the address of the page')
    }
    setTimeout(() => setText('Copy link'), 2000)
  }
  return (
    <button type="button" onClick={copy}>
      {text}
    </button>
  )
}

export function PanelView(props: {
  panel: Panel
  zone: Zone
  refresh: number
  isAlone: boolean
  onChange: (change: Partial<Panel>) => void
  onRemove: () => void
  /** Adds a panel that is the same. */
  onCopy: () => void
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
    remember(panel.expr)
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
        <History onPick={submit} />
        <button type="button" onClick={props.onCopy} title="Add the same expression">
          Duplicate
        </button>
        {!props.isAlone && (
          <button type="button" onClick={props.onRemove} aria-label="Remove this expression">
            ×
          </button>
        )}
      </div>
      <div class="controls">
        <Tabs label="View" choices={tabs} value={panel.tab} onChange={tab => onChange({ tab: tab as Tab })} />
        {panel.tab === 'table' || panel.tab === 'tree' ? (
          <MomentPicker span={panel} onChange={onChange} />
        ) : (
          <RangePicker span={panel} onChange={onChange} />
        )}
        {(panel.tab === 'graph' || panel.tab === 'explain') && (
          <Field
            label="Step"
            size={5}
            placeholder="auto"
            value={panel.step === null ? '' : formatDuration(panel.step)}
            wrong={t => t !== '' && !(parseDuration(t) > 0)}
            onChange={t => onChange({ step: t === '' ? null : parseDuration(t) })}
          />
        )}
        {panel.tab !== 'raw' && (
          <Field
            label="Look-back"
            size={5}
            placeholder="default"
            value={panel.lookback === null ? '' : formatDuration(panel.lookback)}
            wrong={t => t !== '' && !(parseDuration(t) > 0)}
            onChange={t => onChange({ lookback: t === '' ? null : parseDuration(t) })}
          />
        )}
        {panel.tab === 'graph' && (
          <>
            <Check label="Cache" value={panel.cache} onChange={cache => onChange({ cache })} />
            <Pick label="Mode" choices={modes} value={panel.mode} onChange={m => onChange({ mode: m as Mode })} />
          </>
        )}
        {panel.tab === 'graph' && panel.mode !== 'heatmap' && (
          <>
            <Field
              label="Thresholds"
              size={8}
              value={panel.thresholds.join(', ')}
              wrong={t => t.trim() !== '' && t.split(',').some(n => n.trim() === '' || !Number.isFinite(Number(n)))}
              onChange={t => onChange({ thresholds: t.trim() === '' ? [] : t.split(',').map(Number) })}
            />
            <Field
              label="Axis"
              size={8}
              placeholder="min:max"
              value={axisText(panel.axis)}
              wrong={t => axisOf(t) === null}
              onChange={t => onChange({ axis: axisOf(t)! })}
            />
            <Check label="Log axis" value={panel.log} onChange={log => onChange({ log })} />
            <Check label="Exemplars" value={panel.exemplars} onChange={exemplars => onChange({ exemplars })} />
          </>
        )}
      </div>
      {error !== null && <Failure error={error} />}
      {error === null && outcome !== null && (
        <>
          {outcome.answer.warnings.map(w => <Notice kind="warning">{w}</Notice>)}
          {outcome.answer.infos.map(i => <Notice kind="info">{i}</Notice>)}
          {panel.tab === 'table' && <ResultTable data={outcome.answer.data as Result} zone={props.zone} onFilter={filter} />}
          {panel.tab === 'graph' && <Graph panel={panel} outcome={outcome} zone={props.zone} onFilter={filter} onChange={onChange} />}
          {(panel.tab === 'raw' || panel.tab === 'tree') && <LazyView panel={panel} outcome={outcome} zone={props.zone} />}
          {panel.tab === 'explain' && <Plan plan={outcome.answer.data as Operator} />}
          {(panel.tab === 'table' || panel.tab === 'graph') && (
            <footer class="title">
              <Costs outcome={outcome} seconds={load.seconds} />
              <span class="row">
                <Exports panel={panel} outcome={outcome} box={box.current} onError={setTrouble} />
                <CopyLink />
              </span>
            </footer>
          )}
        </>
      )}
      {error === null && outcome === null && !load.isLoading && <p class="empty">Enter an expression, such as up.</p>}
    </section>
  )
}
