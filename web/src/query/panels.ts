// panels.ts - the panels of the query page as its address has them. The names are Prometheus' own,
// of versions 2 and 3, so that links made for its page open here and links made here open there.

import { formatDuration, formatTime, parseDuration, parseTime } from '../lib/time'

export type Tab = 'graph' | 'table' | 'raw' | 'tree' | 'explain'
export type Mode = 'lines' | 'stacked' | 'heatmap'

export interface Panel {
  id: number
  expr: string
  /** Expressions that are shown together with the first one. */
  more: string[]
  tab: Tab
  /** Seconds that the graph shows. */
  seconds: number
  /** End of the graph, or time of the table; null: now. */
  end: number | null
  /** Seconds between two steps; null: one step for each pixel. */
  step: number | null
  mode: Mode
  log: boolean
  /** Seconds of the look-back; null: the server's. */
  lookback: number | null
  thresholds: number[]
  /** Least and greatest value of the axis; null: those of the result. */
  axis: [number | null, number | null]
  exemplars: boolean
  /** Says whether a graph may use cached results. */
  cache: boolean
  /** What forms groups in the list of series: a label, or the expression; null: nothing is chosen. */
  group: Group | null
}

/** `label:` and its name, `expression` or `none`. */
export type Group = string

let nextId = 1

export function newPanel(expr = ''): Panel {
  return {
    id: nextId++,
    expr,
    more: [],
    tab: 'table',
    seconds: 3600,
    end: null,
    step: null,
    mode: 'lines',
    log: false,
    lookback: null,
    thresholds: [],
    axis: [null, null],
    exemplars: false,
    cache: true,
    group: null,
  }
}

function tabOf(value: string | null): Tab {
  if (value === '0' || value === 'graph') return 'graph'
  return value === 'explain' || value === 'tree' || value === 'raw' ? value : 'table'
}

/** Says whether the tab shows samples of a range. */
export function isOfRange(tab: Tab): boolean {
  return tab === 'graph' || tab === 'raw'
}

function timeOf(value: string | null): number | null {
  if (value === null || value === '') return null
  const t = parseTime(value, 'UTC')
  return Number.isNaN(t) ? null : t
}

function durationOf(value: string | null): number | null {
  if (value === null || value === '') return null
  const d = parseDuration(value)
  return d > 0 ? d : null
}

/** Reads `0:100`, `0:` or `:100`; null: it is none of these. */
export function axisOf(text: string): [number | null, number | null] | null {
  const m = /^\s*(-?[\d.]+(?:e[+-]?\d+)?)?\s*:\s*(-?[\d.]+(?:e[+-]?\d+)?)?\s*$/i.exec(text)
  if (m === null) return text.trim() === '' ? [null, null] : null
  const [low, high] = [m[1], m[2]].map(n => (n === undefined ? null : Number(n))) as [number | null, number | null]
  if (Number.isNaN(low) || Number.isNaN(high) || (low !== null && high !== null && low >= high)) return null
  return [low, high]
}

export function axisText([low, high]: [number | null, number | null]): string {
  return low === null && high === null ? '' : `${low ?? ''}:${high ?? ''}`
}

function panelOf(values: URLSearchParams, prefix: string): Panel {
  const of = (name: string) => values.get(prefix + name)
  const tab = tabOf(of('tab'))
  const mode = of('display_mode')
  const stepType = of('res_type')
  return {
    ...newPanel(of('expr') ?? ''),
    more: values.getAll(prefix + 'with'),
    tab,
    seconds: durationOf(of('range_input')) ?? 3600,
    end: timeOf(isOfRange(tab) ? of('end_input') : (of('moment_input') ?? of('end_input'))),
    step: durationOf(of('step_input')) ?? (stepType === 'custom' || stepType === 'fixed' ? durationOf(of('res_step')) : null),
    mode: mode === 'heatmap' ? mode : mode === 'stacked' || of('stacked') === '1' ? 'stacked' : 'lines',
    log: of('log') === '1',
    lookback: durationOf(of('lookback')),
    thresholds: (of('thresholds') ?? '').split(',').filter(t => t !== '').map(Number).filter(Number.isFinite),
    axis: axisOf(of('axis') ?? (of('y_axis_min') === null ? '' : `${of('y_axis_min')}:`)) ?? [null, null],
    exemplars: of('show_exemplars') === '1',
    cache: of('nocache') !== '1',
    group: of('group'),
  }
}

/** Reads all panels; there is at least one. */
export function panelsOf(values: URLSearchParams): Panel[] {
  const numbers = new Set<number>()
  for (const name of values.keys()) {
    const match = /^g(\d{1,3})\.expr$/.exec(name)
    if (match !== null) numbers.add(Number(match[1]))
  }
  const panels = [...numbers].sort((a, b) => a - b).map(n => panelOf(values, `g${n}.`))
  return panels.length > 0 ? panels : [newPanel()]
}

/** Writes all panels; what has its default is left out. */
export function valuesOf(panels: Panel[]): URLSearchParams {
  const values = new URLSearchParams()
  panels.forEach((p, i) => {
    const set = (name: string, value: string) => values.set(`g${i}.${name}`, value)
    set('expr', p.expr)
    for (const expr of p.more) values.append(`g${i}.with`, expr)
    set('tab', p.tab)
    if (p.tab !== 'table') set('range_input', formatDuration(p.seconds))
    if (p.end !== null) set(isOfRange(p.tab) ? 'end_input' : 'moment_input', formatTime(p.end, 'UTC'))
    if (p.step !== null) {
      set('res_type', 'custom')
      set('res_step', formatDuration(p.step))
    }
    if (p.mode !== 'lines') set('display_mode', p.mode)
    if (p.exemplars) set('show_exemplars', '1')
    if (!p.cache) set('nocache', '1')
    if (p.group !== null) set('group', p.group)
    if (p.log) set('log', '1')
    if (p.lookback !== null) set('lookback', formatDuration(p.lookback))
    if (axisText(p.axis) !== '') set('axis', axisText(p.axis))
    if (p.thresholds.length > 0) set('thresholds', p.thresholds.join(','))
  })
  return values
}
