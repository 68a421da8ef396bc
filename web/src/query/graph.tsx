// graph.tsx - the answers for the expressions of a panel as lines, areas or a heatmap, with their list.

import { useEffect, useMemo, useState } from 'preact/hooks'
import { seriesText } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { Lazy } from '../ui/lazy'
import { Notice } from '../ui/parts'
import { zoomed } from '../ui/range'
import { isClassic } from './buckets'
import { Chart } from './chart'
import { ExemplarList, TraceLink, drawn } from './exemplars'
import type { Exemplar } from './exemplars'
import { GroupPick, Legend, groupsOf } from './legend'
import { drawnOf } from './outcome'
import type { Drawn, Outcome } from './outcome'
import type { Panel } from './panels'
import type { Columns } from './result'
import { lastOf } from './result'

interface GraphProps {
  panel: Panel
  outcome: Outcome
  zone: Zone
  onChange: (change: Partial<Panel>) => void
  /** Narrows the expression with an index to a label value, if it can be asked for. */
  onFilter?: (at: number, name: string, value: string) => void
}

interface LinesProps extends GraphProps {
  series: Drawn[]
  columns: Columns
}

function LazyHeatmap(props: LinesProps) {
  const zoom = (start: number, end: number) => props.onChange({ seconds: end - start, end })
  return (
    <Lazy load={() => import('./heatmap')}>
      {m => <m.Heatmap series={props.series} values={props.columns} grid={props.outcome} zone={props.zone} onZoom={zoom} />}
    </Lazy>
  )
}

function Lines(props: LinesProps) {
  const { columns, outcome, panel, series } = props
  const last = useMemo(() => Float64Array.from(columns.values, lastOf), [columns])
  const exemplars = useMemo(() => outcome.parts.flatMap(p => p.exemplars), [outcome])
  const dots = useMemo(() => drawn(exemplars), [exemplars])
  const identity = useMemo(() => series.map(s => seriesText(s.metric)).join('\n'), [outcome])
  const groups = useMemo(() => groupsOf(panel, outcome, series), [outcome, panel.group])
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
      {panel.exemplars && <ExemplarList exemplars={exemplars} zone={props.zone} />}
      <GroupPick panel={panel} series={series} onChange={props.onChange} />
      <div class="scroll">
        <Legend
          series={series}
          groups={groups}
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

export function Graph(props: GraphProps) {
  const { series, columns } = useMemo(() => drawnOf(props.outcome), [props.outcome])
  if (series.length === 0) return <p class="empty">The expression has no result in this range.</p>
  const isHistogram = series.some(s => s.histograms !== undefined) || isClassic(series)
  const isHeatmap = props.panel.mode === 'heatmap'
  if (isHeatmap && isHistogram) return <LazyHeatmap {...props} series={series} columns={columns} />
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
      <Lines {...props} series={series} columns={columns} />
    </>
  )
}
