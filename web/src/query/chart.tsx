// chart.tsx - lines over time, drawn by uPlot.

import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { short } from '../lib/format'
import { useSettings } from '../ui/settings'
import { colour } from './colour'
import type { Exemplar } from './exemplars'
import { linesOf } from './lines'
import { thin } from './result'
import type { Columns } from './result'

export interface ChartProps {
  columns: Columns
  count: number
  zone: Zone
  isStacked: boolean
  isLog: boolean
  thresholds: number[]
  axis: [number | null, number | null]
  exemplars: Exemplar[]
  /** Indexes of the series that are drawn; null: all. */
  shown: Set<number> | null
  onZoom: (start: number, end: number) => void
  /** Makes the range longer or shorter by a factor. */
  onScale: (factor: number) => void
  /** Says where the pointer is: an index into the times, or null. */
  onPoint: (at: number | null, columns: Columns) => void
  onExemplar: (exemplar: Exemplar | null) => void
  /** Writes the values of the axis, and names its round steps. */
  unit?: { write: (value: number) => string; increments?: number[] }
  /** How much of its colour the area below a line has, 0 to 1. */
  fill?: number
  height?: number
  /** Charts with the same key show their pointers together. */
  group?: string
}

/** Labels of the time axis by its least step in seconds: the text of each, and what is added where the
 * year, the day or the minute changes. */
const timeLabels = [
  [31536000, '{YYYY}', null, null, null, null, null, null, 1],
  [86400, '{YYYY}-{MM}-{DD}', null, null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [0.001, ':{ss}.{fff}', '\n{YYYY}-{MM}-{DD} {HH}:{mm}', null, '\n{MM}-{DD} {HH}:{mm}', null, '\n{HH}:{mm}', null, 1],
]

/** Pixels between the pointer and a dot that it shows. */
const reach = 8

/** Draws a line across at each threshold. */
function thresholdLines(values: number[]): uPlot.Plugin {
  return {
    hooks: {
      draw: (u: uPlot) => {
        const c = u.ctx
        c.save()
        c.strokeStyle = colour('--bad')
        c.setLineDash([6, 4])
        for (const value of values) {
          const y = u.valToPos(value, 'y', true)
          if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) continue
          c.beginPath()
          c.moveTo(u.bbox.left, y)
          c.lineTo(u.bbox.left + u.bbox.width, y)
          c.stroke()
        }
        c.restore()
      },
    },
  }
}

/** The place of an exemplar in pixels of the canvas; one beyond the axis is at its end. */
function placeOf(u: uPlot, e: Exemplar): [number, number] {
  const y = u.valToPos(e.value, 'y', true)
  const bottom = u.bbox.top + u.bbox.height
  return [u.valToPos(e.time, 'x', true), Number.isNaN(y) ? bottom : Math.min(Math.max(y, u.bbox.top), bottom)]
}

/** Draws a dot for each exemplar, and reports the one below the pointer. */
function exemplarDots(exemplars: Exemplar[], report: (e: Exemplar | null) => void): uPlot.Plugin {
  let last: Exemplar | null = null
  return {
    hooks: {
      draw: (u: uPlot) => {
        const c = u.ctx
        const size = 3.5 * devicePixelRatio
        c.save()
        c.fillStyle = colour('--accent')
        c.strokeStyle = colour('--ground')
        c.lineWidth = devicePixelRatio
        for (const e of exemplars) {
          const [x, y] = placeOf(u, e)
          c.beginPath()
          c.arc(x, y, size, 0, 2 * Math.PI)
          c.fill()
          c.stroke()
        }
        c.restore()
      },
      setCursor: (u: uPlot) => {
        const x = u.bbox.left + u.cursor.left! * devicePixelRatio
        const y = u.bbox.top + u.cursor.top! * devicePixelRatio
        const most = reach * devicePixelRatio
        const near = (e: Exemplar) => {
          const [ex, ey] = placeOf(u, e)
          return Math.hypot(ex - x, ey - y)
        }
        let best: Exemplar | null = null
        for (const e of exemplars) if (near(e) <= (best === null ? most : near(best))) best = e
        // Nothing near: the last one stays, so that the pointer can reach its link.
        if (best !== null && best !== last) report((last = best))
      },
    },
  }
}

/** Moves the pointer of a chart by keys, and selects with Shift; false: the key means nothing. */
function moveByKey(u: uPlot, event: KeyboardEvent, props: ChartProps): boolean {
  const times = u.data[0]
  const at = u.cursor.idx ?? times.length - 1
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: times.length - 1, PageUp: at - 10, PageDown: at + 10 }[event.key]
  if (to !== undefined) {
    const next = Math.min(Math.max(to, 0), times.length - 1)
    const left = u.valToPos(times[next]!, 'x')
    const begin = u.select.width > 0 ? u.select.left : u.valToPos(times[at]!, 'x')
    const end = u.select.width > 0 ? u.select.left + u.select.width : begin
    u.setCursor({ left, top: u.over.clientHeight / 2 })
    if (event.shiftKey) {
      // The end of the selection that the pointer is at moves with it.
      const fixed = Math.abs(u.valToPos(times[at]!, 'x') - begin) < 0.5 ? end : begin
      u.setSelect({ left: Math.min(fixed, left), width: Math.abs(left - fixed), top: 0, height: u.over.clientHeight }, false)
    }
  } else if (event.key === 'Enter' && u.select.width > 0) {
    props.onZoom(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'))
  } else if (event.key === 'Escape') {
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false)
    u.setCursor({ left: -10, top: -10 })
  } else if (event.key === '+' || event.key === '-') {
    props.onScale(event.key === '+' ? 0.5 : 2)
  } else {
    return false
  }
  return true
}

/** The ends of the value axis: those that are given, those of areas with 0, or the chart's own. */
function rangeOf(props: ChartProps): uPlot.Scale.Range | undefined {
  const [low, high] = props.axis
  const isArea = props.isStacked && !props.isLog
  if (low === null && high === null) return isArea ? (_, min, max) => [Math.min(0, min), max] : undefined
  return (_, min, max) => {
    const [from, to] = props.isLog ? uPlot.rangeLog(min, max, 10, true) : uPlot.rangeNum(isArea ? Math.min(0, min) : min, max, 0.1, true)
    return [low ?? from, high ?? to]
  }
}

export function Chart(props: ChartProps) {
  const host = useRef<HTMLDivElement>(null)
  const [settings] = useSettings()
  const chart = useRef<uPlot | null>(null)
  const latest = useRef(props)
  latest.current = props

  useEffect(() => {
    const element = host.current!
    const width = Math.max(200, element.clientWidth)
    const height = props.height ?? 340
    const write = props.unit?.write ?? short
    const fill = props.isStacked ? Math.max(0.35, props.fill ?? 0) : (props.fill ?? 0)
    const isShown = (i: number) => props.shown === null || props.shown.has(i)
    const thinned = thin(props.columns, width)
    const lines = linesOf(thinned, { isShown, isStacked: props.isStacked, isLog: props.isLog, fill })
    const axis = { stroke: colour('--faint'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } }
    const zone = props.zone === 'UTC' ? 'Etc/UTC' : props.zone
    const plugins = [
      lines.plugin,
      ...(props.thresholds.length > 0 ? [thresholdLines(props.thresholds)] : []),
      ...(props.exemplars.length > 0 ? [exemplarDots(props.exemplars, e => latest.current.onExemplar(e))] : []),
    ]
    const plot = new uPlot(
      {
        width,
        height,
        tzDate: t => (zone === 'local' ? new Date(t * 1000) : uPlot.tzDate(new Date(t * 1000), zone)),
        legend: { show: false },
        cursor: {
          drag: { x: true, y: false, setScale: false },
          points: { show: false },
          sync: props.group === undefined ? undefined : { key: props.group, setSeries: false },
        },
        scales: { x: { time: true }, y: { distr: props.isLog ? 3 : 1, range: rangeOf(props) } },
        axes: [
          { ...axis, values: timeLabels as uPlot.Axis.Values },
          {
            ...axis,
            size: (_, texts) => Math.max(48, ...(texts ?? []).map(t => t.length * 7 + 16)),
            values: (_, ticks) => ticks.map(t => (t === null ? '' : write(t))),
            incrs: props.unit?.increments,
          },
        ],
        series: lines.series,
        plugins,
        hooks: {
          setSelect: [
            (u: uPlot) => {
              if (u.select.width < 4) return
              latest.current.onZoom(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'))
            },
          ],
          setCursor: [
            (u: uPlot) => latest.current.onPoint(u.cursor.left! < 0 ? null : (u.cursor.idx ?? null), thinned),
          ],
        },
      },
      lines.data,
      element,
    )
    chart.current = plot
    const resize = new ResizeObserver(() => plot.setSize({ width: Math.max(200, element.clientWidth), height }))
    resize.observe(element)
    return () => {
      resize.disconnect()
      plot.destroy()
      chart.current = null
    }
  }, [props.columns, props.shown, props.isStacked, props.isLog, props.zone, props.thresholds.join(), props.axis.join(), props.exemplars, props.height, settings.theme])

  const first = props.columns.times[0]
  const last = props.columns.times[props.columns.times.length - 1]
  const span = first === undefined ? '' : ` from ${formatTime(first, props.zone)} to ${formatTime(last!, props.zone)}`
  return (
    <div
      class="chart"
      ref={host}
      role="application"
      tabIndex={0}
      aria-label={`Graph of ${props.count} series${span}. Arrow keys move the pointer, with Shift they select, Enter shows the selection, + and - change the range.`}
      onKeyDown={e => {
        if (e.ctrlKey || e.metaKey || e.altKey || chart.current === null) return
        if (moveByKey(chart.current, e, latest.current)) e.preventDefault()
      }}
    />
  )
}
