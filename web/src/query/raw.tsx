// raw.tsx - the samples of the selectors of an expression as they are stored: with their own times,
// staleness markers, and those of all replicas.

import { useEffect, useRef, useState } from 'preact/hooks'
import { ask } from '../lib/api'
import { count, seriesText, short } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { useLoad } from '../ui/load'
import { Failure } from '../ui/parts'
import { useSettings } from '../ui/settings'
import { colour, colourOf } from './colour'
import { save } from './export'
import { readRaw } from './remote'
import type { Matcher, RawSample, RawSeries } from './remote'
import { SeriesName } from './table'

const seriesShown = 50
const samplesShown = 100
const height = 200
const axisWidth = 64

interface Node {
  type?: string
  matchers?: Matcher[]
}

/** The selectors of an expression, each once. */
async function selectorsOf(query: string, signal: AbortSignal): Promise<Matcher[][]> {
  const { data } = await ask<unknown>('api/v1/parse_query', { query }, signal)
  const found = new Map<string, Matcher[]>()
  const walk = (value: unknown) => {
    if (value === null || typeof value !== 'object') return
    const node = value as Node
    if (node.type === 'vectorSelector' && node.matchers !== undefined) found.set(JSON.stringify(node.matchers), node.matchers)
    Object.values(value).forEach(walk)
  }
  walk(data)
  return [...found.values()]
}

function textOf(s: RawSample): string {
  if (s.histogram !== null) return `count ${s.histogram.count}, sum ${s.histogram.sum}`
  return Number.isNaN(s.value) ? 'NaN' : s.value === Infinity ? '+Inf' : String(s.value)
}

/** Samples over time; staleness markers are crosses at the bottom. */
function Strip(props: { series: RawSeries[]; start: number; end: number; zone: Zone }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [settings] = useSettings()
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const box = canvas.current!.parentElement!
    const resize = new ResizeObserver(() => setWidth(box.clientWidth))
    resize.observe(box)
    return () => resize.disconnect()
  }, [])
  useEffect(() => {
    const c = canvas.current!.getContext('2d')!
    canvas.current!.width = width * devicePixelRatio
    canvas.current!.height = height * devicePixelRatio
    c.scale(devicePixelRatio, devicePixelRatio)
    const values = props.series.flatMap(s => s.samples.map(valueOf)).filter(Number.isFinite)
    const low = values.reduce((m, v) => Math.min(m, v), Infinity)
    const high = values.reduce((m, v) => Math.max(m, v), -Infinity)
    const x = (ms: number) => ((ms / 1000 - props.start) / (props.end - props.start)) * (width - axisWidth) + axisWidth
    const y = (v: number) => (high === low ? height / 2 : height - 34 - ((v - low) / (high - low)) * (height - 50))
    c.font = '12px system-ui, sans-serif'
    c.fillStyle = colour('--faint')
    c.textBaseline = 'top'
    c.fillText(formatTime(Math.round(props.start), props.zone), axisWidth, height - 14)
    c.textAlign = 'right'
    c.fillText(formatTime(Math.round(props.end), props.zone), width, height - 14)
    if (values.length > 0) {
      c.textBaseline = 'middle'
      c.fillText(short(high), axisWidth - 8, y(high))
      if (low < high) c.fillText(short(low), axisWidth - 8, y(low))
    }
    props.series.forEach((s, i) => {
      c.fillStyle = c.strokeStyle = colourOf(i)
      for (const sample of s.samples) {
        const px = x(sample.time)
        if (!sample.isStale) c.fillRect(px - 1.25, y(valueOf(sample)) - 1.25, 2.5, 2.5)
      }
      c.strokeStyle = colour('--bad')
      c.lineWidth = 1.5
      c.beginPath()
      for (const sample of s.samples) {
        if (!sample.isStale) continue
        const px = x(sample.time)
        c.moveTo(px - 4, height - 28)
        c.lineTo(px + 4, height - 20)
        c.moveTo(px + 4, height - 28)
        c.lineTo(px - 4, height - 20)
      }
      c.stroke()
    })
  }, [props.series, width, props.zone, settings.theme])
  return (
    <div class="strip">
      <canvas ref={canvas} role="img" aria-label="Stored samples over time; crosses at the bottom are staleness markers" />
    </div>
  )
}

function valueOf(s: RawSample): number {
  return s.histogram === null ? s.value : s.histogram.sum
}

function Samples(props: { series: RawSeries; zone: Zone }) {
  const { samples } = props.series
  const rest = samples.length - samplesShown
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col" class="number">
            After
          </th>
          <th scope="col" class="number">
            Value
          </th>
        </tr>
      </thead>
      <tbody>
        {samples.slice(-samplesShown).map((s, i, shown) => {
          const before = shown[i - 1]
          return (
            <tr>
              <td>{formatTime(s.time / 1000, props.zone)}</td>
              <td class="number">{before === undefined ? '' : `${(s.time - before.time) / 1000} s`}</td>
              <td class="number">{s.isStale ? <span class="state pending">stale</span> : textOf(s)}</td>
            </tr>
          )
        })}
      </tbody>
      {rest > 0 && <caption>The last {samplesShown}; {count(rest)} earlier ones are in the CSV file.</caption>}
    </table>
  )
}

function csvOf(series: RawSeries[]): string {
  const cell = (text: string) => `"${text.replace(/"/g, '""')}"`
  const rows = series.flatMap(s => s.samples.map(p => `${cell(seriesText(s.labels))},${p.time},${p.isStale ? 'stale' : cell(textOf(p))}`))
  return ['series,time_ms,value', ...rows].join('\n') + '\n'
}

export function Raw(props: { expr: string; start: number; end: number; zone: Zone; asked: object }) {
  const [load, send] = useLoad<RawSeries[]>()
  useEffect(() => {
    send(async signal => {
      const selectors = await selectorsOf(props.expr, signal)
      return selectors.length === 0 ? [] : readRaw(selectors, props.start, props.end, signal)
    })
  }, [props.asked])
  if (load.error !== null) return <Failure error={load.error} />
  const series = load.value
  if (series === null) return <p class="empty">Loading…</p>
  if (series.length === 0) return <p class="empty">The selectors of the expression have no samples in this range.</p>
  const all = series.reduce((n, s) => n + s.samples.length, 0)
  const stale = series.reduce((n, s) => n + s.samples.filter(p => p.isStale).length, 0)
  return (
    <div aria-busy={load.isLoading}>
      <p class="costs">
        {count(all)} samples of {count(series.length)} series as stored, {count(stale)} of them staleness markers{' '}
        <button type="button" onClick={() => save('firekeep-raw.csv', 'text/csv', csvOf(series))}>
          CSV
        </button>
      </p>
      <Strip series={series.slice(0, seriesShown)} start={props.start} end={props.end} zone={props.zone} />
      {series.slice(0, seriesShown).map((s, i) => (
        <details class="raw" open={series.length === 1}>
          <summary>
            <span class="swatch" style={{ backgroundColor: colourOf(i) }} /> <SeriesName metric={s.labels} />{' '}
            <small>
              {count(s.samples.length)} samples{s.samples.some(p => p.isStale) && `, ${count(s.samples.filter(p => p.isStale).length)} stale`}
            </small>
          </summary>
          <Samples series={s} zone={props.zone} />
        </details>
      ))}
      {series.length > seriesShown && <p class="empty">The first {seriesShown} series are shown; the others are in the CSV file.</p>}
    </div>
  )
}
