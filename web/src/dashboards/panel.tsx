// panel.tsx - one panel of a dashboard. It asks the server only while it can be seen.

import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ask } from '../lib/api'
import { serverNow } from '../lib/clock'
import { seriesText } from '../lib/format'
import type { Zone } from '../lib/time'
import { formatTime } from '../lib/time'
import { Chart } from '../query/chart'
import { colourOf } from '../query/colour'
import type { Exemplar } from '../query/exemplars'
import { askMatrix } from '../query/matrix'
import { isOfSeries, lastOf, numberOf, roundStep } from '../query/result'
import type { Columns, Result, Series } from '../query/result'
import { useLoad, useRepeat } from '../ui/load'
import { Failure } from '../ui/parts'
import type { Range } from '../ui/range'
import { writeRange } from '../ui/range'
import { Link } from '../ui/router'
import { legendOf, substitute } from './grafana'
import type { Chosen, PanelModel, Target } from './grafana'
import { unitOf } from './units'
import type { Unit } from './units'

interface Named {
  name: string
  series: Series
}

interface Drawn {
  list: Named[]
  start: number
  end: number
  step: number
  columns: Columns
}

/** Kinds that show the last value only. */
const isOfNow = (type: string) => type === 'stat' || type === 'bargauge'

/** The least step of a round length that gives at most one point for each pixel. */
function stepFor(range: number, width: number): number {
  return roundStep(range / Math.max(width, 100))
}

async function fetchPanel(panel: PanelModel, chosen: Chosen, range: Range, width: number, extra: Record<string, string> | undefined, signal: AbortSignal): Promise<Drawn> {
  const now = range.end ?? serverNow()
  const step = Math.max(stepFor(range.seconds, width), 1)
  const end = Math.floor(now / step) * step
  const start = Math.ceil((now - range.seconds) / step) * step
  const grid = { start, end, step }
  const query = (t: Target) => substitute(t.expr, chosen, step, range.seconds)
  const labels = (s: Series) => {
    const left = Object.entries(s.metric).filter(([name]) => !panel.omitted?.includes(name))
    return left.length === 0 ? s.metric : Object.fromEntries(left)
  }
  const named = (t: Target, all: Series[]) => all.map(s => ({ name: legendOf(t.legend, s.metric, seriesText(labels(s))), series: s }))
  if (isOfNow(panel.type)) {
    const answers = await Promise.all(panel.targets.map(t => ask<Result>('api/v1/query', { query: query(t), time: String(now), ...extra }, signal)))
    const list = answers.flatMap(({ data }, i) => named(panel.targets[i]!, isOfSeries(data) ? data.result : [{ metric: {}, value: data.result }]))
    return { ...grid, list, columns: { times: new Float64Array(), values: [] } }
  }
  const times = { start: String(start), end: String(end), step: String(step), stats: 'cost', ...extra }
  const answers = await Promise.all(panel.targets.map(t => askMatrix({ query: query(t), ...times }, grid, signal)))
  return {
    ...grid,
    list: answers.flatMap(({ answer }, i) => named(panel.targets[i]!, answer.data.result)),
    columns: { times: answers[0]?.columns.times ?? new Float64Array(), values: answers.flatMap(a => a.columns.values) },
  }
}

const namesMax = 30
const noExemplars: Exemplar[] = []

function Graph(props: { panel: PanelModel; drawn: Drawn; unit: Unit; zone: Zone; height: number; onZoom: (start: number, end: number) => void }) {
  const { panel, drawn, unit } = props
  const [only, setOnly] = useState<string | null>(null)
  const [at, setAt] = useState<{ time: number; values: number[] } | null>(null)
  const names = useMemo(() => drawn.list.map(n => n.name), [drawn])
  const last = useMemo(() => drawn.columns.values.map(lastOf), [drawn])
  const shown = useMemo(() => {
    const of = new Set(names.flatMap((n, i) => (n === only ? [i] : [])))
    return of.size > 0 ? of : null
  }, [drawn, only])
  const values = at?.values ?? last
  return (
    <>
      <Chart
        columns={drawn.columns}
        count={names.length}
        zone={props.zone}
        isStacked={panel.isStacked}
        isLog={false}
        thresholds={[]}
        shown={shown}
        axis={[panel.min, panel.max]}
        exemplars={noExemplars}
        unit={unit}
        fill={panel.fill}
        height={props.height}
        group="dashboard"
        onZoom={props.onZoom}
        onScale={factor => props.onZoom(drawn.end - (drawn.end - drawn.start) * factor, drawn.end)}
        onPoint={(i, columns) => setAt(i === null ? null : { time: columns.times[i]!, values: columns.values.map(v => v[i]!) })}
        onExemplar={() => {}}
      />
      <p class="names">
        {at !== null && <time>{formatTime(at.time, props.zone).slice(11)}</time>}
        {names.slice(0, namesMax).map((name, i) => (
          <button type="button" class={only !== null && only !== name ? 'name hidden' : 'name'} aria-pressed={only === name} onClick={() => setOnly(only === name ? null : name)}>
            <i style={{ background: colourOf(i) }} /> {name} <b>{Number.isNaN(values[i] ?? NaN) ? '' : unit.write(values[i]!)}</b>
          </button>
        ))}
        {names.length > namesMax && <span>and {names.length - namesMax} more</span>}
      </p>
    </>
  )
}

/** When each series has a value: bars on an axis of time. */
function Timeline(props: { drawn: Drawn; zone: Zone }) {
  const { drawn } = props
  const span = Math.max(drawn.end - drawn.start, drawn.step)
  return (
    <div class="states">
      {drawn.list.slice(0, namesMax).map((n, i) => {
        const column = drawn.columns.values[i]!
        const bars: [number, number][] = []
        column.forEach((v, at) => {
          if (Number.isNaN(v)) return
          if (bars.length > 0 && bars[bars.length - 1]![1] === at) bars[bars.length - 1]![1] = at + 1
          else bars.push([at, at + 1])
        })
        return (
          <>
            <span>{n.name}</span>
            <svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label={`${n.name}: ${bars.length === 0 ? 'never' : ''}${bars.map(([b]) => `from ${formatTime(drawn.start + b * drawn.step, props.zone)}`).join(', ')}`}>
              {bars.map(([b, e]) => (
                <rect x={((b * drawn.step) / span) * 1000} width={(((e - b) * drawn.step) / span) * 1000} y={0} height={10} fill={colourOf(i)} />
              ))}
            </svg>
          </>
        )
      })}
      <span />
      <span class="row ends">
        <small>{formatTime(drawn.start, props.zone).slice(5, 16)}</small>
        <small>{formatTime(drawn.end, props.zone).slice(5, 16)}</small>
      </span>
    </div>
  )
}

function stepOf(panel: PanelModel, value: number): string {
  const colour = panel.steps.reduce((c, s) => (value >= s.value ? s.colour : c), '')
  return /red/.test(colour) ? 'bad' : /orange|yellow/.test(colour) ? 'warn' : /green/.test(colour) ? 'good' : ''
}

function valueOf(n: Named): number {
  return n.series.value === undefined ? NaN : numberOf(n.series.value[1])
}

function Numbers(props: { panel: PanelModel; drawn: Drawn; unit: Unit }) {
  return (
    <div class="stats">
      {props.drawn.list.slice(0, 12).map(n => (
        <span class={`stat ${stepOf(props.panel, valueOf(n))}`}>
          {props.drawn.list.length > 1 && <small>{n.name}</small>} {props.unit.write(valueOf(n))}
        </span>
      ))}
    </div>
  )
}

function Bars(props: { panel: PanelModel; drawn: Drawn; unit: Unit }) {
  const { panel, drawn } = props
  const most = panel.max ?? Math.max(...drawn.list.map(valueOf), 0)
  const list = [...drawn.list].sort((a, b) => valueOf(b) - valueOf(a)).slice(0, namesMax)
  return (
    <div class="bars">
      {list.map(n => (
        <>
          <span>{n.name}</span>
          <svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
            <rect class={stepOf(panel, valueOf(n))} x={0} y={0} height={10} width={most > 0 ? (Math.max(valueOf(n), 0) / most) * 1000 : 0} />
          </svg>
          <span class="number">{props.unit.write(valueOf(n))}</span>
        </>
      ))}
    </div>
  )
}

/** The expressions of a panel on the query page, over the same range. */
function linkOf(panel: PanelModel, chosen: Chosen, range: Range): URLSearchParams {
  const values = new URLSearchParams()
  panel.targets.forEach((t, i) => {
    const one = new URLSearchParams()
    writeRange(one, range)
    values.set(`g${i}.expr`, substitute(t.expr, chosen, stepFor(range.seconds, 1000), range.seconds))
    values.set(`g${i}.tab`, 'graph')
    values.set(`g${i}.range_input`, one.get('range_input')!)
    if (range.end !== null) values.set(`g${i}.end_input`, one.get('end_input')!)
    if (panel.isStacked) values.set(`g${i}.display_mode`, 'stacked')
  })
  return values
}

function useSeen(box: { current: HTMLElement | null }): boolean {
  const [isSeen, setSeen] = useState(false)
  useEffect(() => {
    const observer = new IntersectionObserver(all => setSeen(all[all.length - 1]!.isIntersecting), { rootMargin: '200px' })
    observer.observe(box.current!)
    return () => observer.disconnect()
  }, [])
  return isSeen
}

const rowPixels = 30

export function PanelCell(props: {
  panel: PanelModel
  chosen: Chosen | null
  range: Range
  zone: Zone
  onZoom: (start: number, end: number) => void
  /** Further arguments of its queries. */
  extra?: Record<string, string>
}) {
  const { panel, chosen, range } = props
  const box = useRef<HTMLElement>(null)
  const isSeen = useSeen(box)
  const [load, send] = useLoad<Drawn>()
  const unit = unitOf(panel.unit)
  const isKnown = ['timeseries', 'state-timeline', 'stat', 'bargauge'].includes(panel.type)
  const run = () => {
    if (!isSeen || !isKnown || chosen === null) return
    const width = box.current!.clientWidth
    send(signal => fetchPanel(panel, chosen, range, width, props.extra, signal))
  }
  useRepeat(run, range.end === null ? range.refresh : 0, [isSeen, chosen, range])
  const unknown = [...panel.unknown, ...(unit === null ? [`the unit ${panel.unit}`] : [])]
  const shown = unit ?? unitOf('')!
  const height = panel.h * rowPixels
  let body: ComponentChildren = null
  if (!isKnown) body = <p class="empty">Panels of the type {JSON.stringify(panel.type)} are not shown here.</p>
  else if (load.error !== null) body = <Failure error={load.error} />
  else if (load.value === null) body = <p class="empty">Loading…</p>
  else if (load.value.list.length === 0) body = <p class="empty">No data</p>
  else if (panel.type === 'stat') body = <Numbers panel={panel} drawn={load.value} unit={shown} />
  else if (panel.type === 'bargauge') body = <Bars panel={panel} drawn={load.value} unit={shown} />
  else if (panel.type === 'state-timeline') body = <Timeline drawn={load.value} zone={props.zone} />
  else body = <Graph panel={panel} drawn={load.value} unit={shown} zone={props.zone} height={Math.max(90, height - 84)} onZoom={props.onZoom} />
  return (
    <section
      class={`cell ${panel.type === 'stat' ? 'small' : ''}`}
      ref={box}
      style={{ '--x': panel.x + 1, '--w': panel.w, minHeight: `${height}px` }}
      aria-busy={load.isLoading}
      aria-label={panel.title}
    >
      <h3 title={panel.description}>
        {isKnown && chosen !== null ? (
          <Link to="query" values={linkOf(panel, chosen, range)}>
            {panel.title}
          </Link>
        ) : (
          panel.title
        )}
      </h3>
      {body}
      {unknown.length > 0 && isKnown && <p class="costs">Not shown: {unknown.join(', ')}</p>}
    </section>
  )
}
