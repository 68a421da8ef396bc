// chart.tsx - lines over time, drawn by uPlot.

import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { short } from '../lib/format'
import { stack, thin } from './result'
import type { Columns } from './result'

const hues = [212, 24, 142, 0, 271, 190, 48, 320, 95, 235, 12, 165]

/** The colour of the series with an index; neighbours differ in hue, repetitions in lightness. */
export function colourOf(index: number): string {
  const round = Math.floor(index / hues.length) % 3
  return `hsl(${hues[index % hues.length]} ${70 - round * 15}% ${[50, 38, 62][round]}%)`
}

export interface ChartProps {
  columns: Columns
  names: string[]
  zone: Zone
  isStacked: boolean
  isLog: boolean
  thresholds: number[]
  /** Indexes of the series that are drawn; null: all. */
  shown: Set<number> | null
  onZoom: (start: number, end: number) => void
  /** Says where the pointer is: an index into the times, or null. */
  onPoint: (at: number | null, times: number[], values: (number | null)[][]) => void
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

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

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

export function Chart(props: ChartProps) {
  const host = useRef<HTMLDivElement>(null)
  const latest = useRef(props)
  latest.current = props

  useEffect(() => {
    const element = host.current!
    const width = Math.max(200, element.clientWidth)
    const isShown = (i: number) => props.shown === null || props.shown.has(i)
    const thinned = thin(props.columns, width)
    const drawn = props.isStacked ? stack({ times: thinned.times, values: thinned.values.map((v, i) => (isShown(i) ? v : v.map(() => null))) }) : thinned
    const order = props.isStacked ? drawn.values.map((_, i) => drawn.values.length - 1 - i) : drawn.values.map((_, i) => i)
    const axis = { stroke: colour('--faint'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } }
    const plot = new uPlot(
      {
        width,
        height: 340,
        tzDate: t => (props.zone === 'UTC' ? uPlot.tzDate(new Date(t * 1000), 'Etc/UTC') : new Date(t * 1000)),
        legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
        scales: { x: { time: true }, y: { distr: props.isLog ? 3 : 1, range: props.isStacked && !props.isLog ? (_, min, max) => [Math.min(0, min), max] : undefined } },
        axes: [{ ...axis, values: timeLabels as uPlot.Axis.Values }, { ...axis, size: 64, values: (_, ticks) => ticks.map(t => (t === null ? '' : short(t))) }],
        series: [
          {},
          ...order.map(i => ({
            label: props.names[i],
            show: isShown(i),
            stroke: colourOf(i),
            fill: props.isStacked ? colourOf(i).replace(')', ' / 0.35)') : undefined,
            width: 1.25,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        plugins: props.thresholds.length > 0 ? [thresholdLines(props.thresholds)] : [],
        hooks: {
          setSelect: [
            (u: uPlot) => {
              if (u.select.width < 4) return
              latest.current.onZoom(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'))
            },
          ],
          setCursor: [
            (u: uPlot) => latest.current.onPoint(u.cursor.left! < 0 ? null : (u.cursor.idx ?? null), thinned.times, thinned.values),
          ],
        },
      },
      [drawn.times, ...order.map(i => drawn.values[i]!)] as uPlot.AlignedData,
      element,
    )
    const resize = new ResizeObserver(() => plot.setSize({ width: Math.max(200, element.clientWidth), height: 340 }))
    resize.observe(element)
    return () => {
      resize.disconnect()
      plot.destroy()
    }
  }, [props.columns, props.shown, props.isStacked, props.isLog, props.zone, props.thresholds.join()])

  const first = props.columns.times[0]
  const last = props.columns.times[props.columns.times.length - 1]
  const span = first === undefined ? '' : ` from ${formatTime(first, props.zone)} to ${formatTime(last!, props.zone)}`
  return <div class="chart" ref={host} role="img" aria-label={`Graph of ${props.names.length} series${span}`} />
}
