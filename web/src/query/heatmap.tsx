// heatmap.tsx - histograms over time: each step is a column, each bucket a cell, whose colour says how
// many observations it has. It is loaded when the first heatmap is shown.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { short } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { useSettings } from '../ui/settings'
import { bucketsOf } from './buckets'
import type { Bucket, Column } from './buckets'
import { colour } from './colour'
import { roundStep } from './result'
import type { Columns, Series } from './result'
import type { Grid } from './matrix'

const height = 340
const axisWidth = 64
const axisHeight = 28

/** Maps values to 0..1, upwards: logarithmic on both sides of the buckets nearest to 0. */
function scaleOf(columns: Column[]): (v: number) => number {
  let least = Infinity
  let low = Infinity
  let high = -Infinity
  for (const c of columns) {
    for (const b of c.buckets) {
      for (const bound of [b.low, b.high]) {
        if (!Number.isFinite(bound)) continue
        if (bound !== 0) least = Math.min(least, Math.abs(bound))
        low = Math.min(low, bound)
        high = Math.max(high, bound)
      }
    }
  }
  const zero = low <= 0 && high >= 0
  const bend = (v: number) => (zero ? Math.sign(v) * Math.log2(1 + Math.abs(v) / least) : Math.sign(v) * Math.log2(Math.abs(v)))
  const [from, to] = [bend(low), bend(high)]
  return v => (v === -Infinity ? 0 : v === Infinity ? 1 : to === from ? 0.5 : (bend(v) - from) / (to - from))
}

/** Bounds at which the value axis has a number: as many as fit. */
function ticksOf(columns: Column[], y: (v: number) => number): number[] {
  const bounds = [...new Set(columns.flatMap(c => c.buckets.flatMap(b => [b.low, b.high])))].filter(Number.isFinite).sort((a, b) => a - b)
  const ticks: number[] = []
  for (const b of bounds) if (ticks.length === 0 || y(ticks[ticks.length - 1]!) - y(b) >= 24) ticks.push(b)
  return ticks
}

/** The root shows buckets with few observations beside those with many. */
function opacityOf(share: number): number {
  return 0.08 + 0.92 * Math.sqrt(share)
}

/** Shades with the number of observations that they stand for. */
function Scale(props: { most: number }) {
  return (
    <>
      {[0.01, 0.1, 0.25, 0.5, 1].map(share => (
        <span class="shade">
          <span class="swatch" style={{ backgroundColor: 'var(--heat)', opacity: opacityOf(share) }} /> {short(Number((props.most * share).toPrecision(3)))}
        </span>
      ))}
      observations in a bucket
    </>
  )
}

interface Cell {
  time: number
  bucket: Bucket
}

export function Heatmap(props: {
  series: Series[]
  values: Columns
  grid: Grid
  zone: Zone
  onZoom: (start: number, end: number) => void
}) {
  const { zone } = props
  const { start, end, step } = props.grid
  const canvas = useRef<HTMLCanvasElement>(null)
  const [settings] = useSettings()
  const [width, setWidth] = useState(0)
  const [cell, setCell] = useState<Cell | null>(null)
  const [drag, setDrag] = useState<[number, number] | null>(null)
  const columns = useMemo(() => bucketsOf(props.series, props.values), [props.series])
  const most = useMemo(() => Math.max(0, ...columns.map(c => c.buckets.reduce((m, b) => Math.max(m, b.count), 0))), [columns])
  const scale = useMemo(() => scaleOf(columns), [columns])
  const first = start - step / 2
  const span = Math.max(end - start + step, 1e-3)
  const inner = Math.max(1, width - axisWidth)
  const x = (t: number) => axisWidth + ((t - first) / span) * inner
  const y = (v: number) => (1 - scale(v)) * (height - axisHeight - 8) + 8

  useEffect(() => {
    const element = canvas.current!.parentElement!
    const resize = new ResizeObserver(() => setWidth(element.clientWidth))
    resize.observe(element)
    setWidth(element.clientWidth)
    return () => resize.disconnect()
  }, [])
  useEffect(() => {
    const c = canvas.current!.getContext('2d')!
    const ratio = devicePixelRatio
    canvas.current!.width = width * ratio
    canvas.current!.height = height * ratio
    c.scale(ratio, ratio)
    c.fillStyle = colour('--heat')
    for (const column of columns) {
      const left = Math.round(x(column.time - step / 2))
      const right = Math.max(left + 1, Math.round(x(column.time + step / 2)))
      for (const b of column.buckets) {
        const top = Math.round(y(b.high))
        c.globalAlpha = opacityOf(b.count / most)
        c.fillRect(left, top, right - left, Math.max(1, Math.round(y(b.low)) - top))
      }
    }
    c.globalAlpha = 1
    c.fillStyle = colour('--faint')
    c.strokeStyle = colour('--line')
    c.font = '12px system-ui, sans-serif'
    c.textBaseline = 'middle'
    c.textAlign = 'right'
    for (const tick of ticksOf(columns, y)) {
      c.fillText(short(tick), axisWidth - 8, y(tick))
      c.fillRect(axisWidth - 4, Math.round(y(tick)), 4, 1)
    }
    c.strokeRect(axisWidth + 0.5, 8.5, inner - 1, height - axisHeight - 8)
    c.textBaseline = 'top'
    c.textAlign = 'center'
    const every = roundStep(span / Math.max(1, Math.floor(inner / 110)))
    for (let t = Math.ceil(start / every) * every; t <= end; t += every) {
      const text = formatTime(t, zone)
      c.fillText(every >= 86400 ? text.slice(0, 10) : text.slice(11, every < 60 ? 19 : 16), x(t), height - axisHeight + 8)
      c.fillRect(Math.round(x(t)), height - axisHeight, 1, 4)
    }
    if (cell !== null) {
      c.strokeStyle = colour('--text')
      c.lineWidth = 1.5
      const [left, top] = [x(cell.time - step / 2), y(cell.bucket.high)]
      c.strokeRect(left, top, Math.max(2, x(cell.time + step / 2) - left), Math.max(2, y(cell.bucket.low) - top))
    }
    if (drag !== null) {
      c.globalAlpha = 0.25
      c.fillStyle = colour('--text')
      c.fillRect(Math.min(...drag), 8, Math.abs(drag[1] - drag[0]), height - axisHeight - 8)
    }
  }, [columns, width, cell, drag, zone, settings.theme])

  const timeAt = (px: number) => first + ((px - axisWidth) / inner) * span
  const find = (px: number, py: number) => {
    const column = columns.find(c => Math.abs(c.time - timeAt(px)) <= step / 2)
    const bucket = column?.buckets.find(b => py >= y(b.high) && py <= y(b.low))
    setCell(column === undefined || bucket === undefined ? null : { time: column.time, bucket })
  }
  const move = (event: KeyboardEvent) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key]
    if (by === undefined || columns.length === 0) return
    event.preventDefault()
    const at = cell === null ? columns.length - 1 : columns.findIndex(c => c.time === cell.time)
    const column = columns[Math.min(Math.max(at + by[0]!, 0), columns.length - 1)]!
    const middle = cell === null ? 0 : cell.bucket.low + (cell.bucket.high - cell.bucket.low) / 2
    const near = column.buckets.findIndex(b => b.high > middle)
    const next = (near < 0 ? column.buckets.length - 1 : near) + by[1]!
    setCell({ time: column.time, bucket: column.buckets[Math.min(Math.max(next, 0), column.buckets.length - 1)]! })
  }
  return (
    <>
      <div
        class="heatmap"
        role="application"
        tabIndex={0}
        aria-label={`Heatmap of ${columns.length} histograms from ${formatTime(start, zone)} to ${formatTime(end, zone)}. Arrow keys move between the buckets.`}
        onKeyDown={move}
      >
        <canvas
          ref={canvas}
          onPointerDown={e => setDrag([e.offsetX, e.offsetX])}
          onPointerMove={e => (drag !== null ? setDrag([drag[0], e.offsetX]) : find(e.offsetX, e.offsetY))}
          onPointerLeave={() => (setDrag(null), setCell(null))}
          onPointerUp={e => {
            setDrag(null)
            if (drag === null || Math.abs(e.offsetX - drag[0]) < 4) return
            props.onZoom(...([timeAt(drag[0]), timeAt(e.offsetX)].sort((a, b) => a - b) as [number, number]))
          }}
        />
      </div>
      <p class="point" aria-live="polite">
        {cell === null
          ? <Scale most={most} />
          : `${formatTime(cell.time, zone)} · ${short(cell.bucket.low)} to ${short(cell.bucket.high)} · ${short(cell.bucket.count)} observations`}
      </p>
    </>
  )
}
