// grafana.ts - reads dashboards in Grafana's JSON: the kinds of panels, variables and options that the
// built-in ones have. `unknown` of a panel names the rest, which the page shows on the panel.

export interface Target {
  expr: string
  legend: string
}

export interface PanelModel {
  id: number
  type: string
  title: string
  description: string
  /** Columns of 24 from the left, width in columns, height in rows of 30 pixels. */
  x: number
  w: number
  h: number
  unit: string
  min: number | null
  max: number | null
  isStacked: boolean
  fill: number
  steps: { colour: string; value: number }[]
  targets: Target[]
  /** Labels that the names of series do not have. */
  omitted?: string[]
  unknown: string[]
}

export interface Row {
  title: string
  isCollapsed: boolean
  panels: PanelModel[]
}

export interface Variable {
  name: string
  label: string
  /** What label_values() asks; match is '' for all series. */
  match: string
  of: string
  isMulti: boolean
  hasAll: boolean
}

export interface Dashboard {
  title: string
  range: string
  refresh: string
  variables: Variable[]
  rows: Row[]
  /** Variables and parts that are not understood. */
  unknown: string[]
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
type Shape = boolean | Shape[] | { [name: string]: Shape }

const base: Shape = {
  id: true,
  type: true,
  title: true,
  description: true,
  gridPos: { x: true, y: true, w: true, h: true },
  datasource: true,
  targets: [{ expr: true, legendFormat: true, refId: true, datasource: true, instant: true }],
}
const defaults = { unit: true, min: true, max: true } as const
const steps: Shape = { mode: true, steps: [{ color: true, value: true }] }

/** The kinds of panels, and the members of each that the page understands. */
const kinds: Record<string, Shape> = {
  timeseries: {
    ...base,
    fieldConfig: { defaults: { ...defaults, custom: { fillOpacity: true, stacking: { mode: true } } } },
    options: { legend: { displayMode: true, placement: true }, tooltip: { mode: true } },
  },
  'state-timeline': { ...base, fieldConfig: { defaults }, options: { showValue: true, mergeValues: true } },
  stat: { ...base, fieldConfig: { defaults: { ...defaults, thresholds: steps } } },
  bargauge: { ...base, fieldConfig: { defaults: { ...defaults, thresholds: steps } } },
}

/** Lists the members of a value that a shape has not, by their paths. Empty lists say nothing. */
function unknownOf(value: Json | undefined, shape: Shape, path = ''): string[] {
  const isNothing = value === null || value === undefined || (Array.isArray(value) && value.length === 0)
  if (shape === true || isNothing) return []
  if (Array.isArray(value)) return Array.isArray(shape) ? value.flatMap(v => unknownOf(v, shape[0]!, path)) : [path]
  if (shape === false || typeof value !== 'object' || Array.isArray(shape)) return [path]
  return Object.entries(value).flatMap(([name, v]) => unknownOf(v, Object.hasOwn(shape, name) ? shape[name]! : false, path === '' ? name : `${path}.${name}`))
}

function objectOf(value: Json | undefined): Record<string, Json> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : {}
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

function numberOf(value: Json | undefined, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise
}

function panelOf(value: Json): PanelModel {
  const p = objectOf(value)
  const at = objectOf(p['gridPos'])
  const field = objectOf(objectOf(p['fieldConfig'])['defaults'])
  const custom = objectOf(field['custom'])
  const type = textOf(p['type'])
  const shape = Object.hasOwn(kinds, type) ? kinds[type]! : true
  const x = Math.min(Math.max(numberOf(at['x'], 0), 0), 23)
  return {
    id: numberOf(p['id'], 0),
    type,
    title: textOf(p['title']),
    description: textOf(p['description']),
    x,
    w: Math.min(Math.max(numberOf(at['w'], 12), 1), 24 - x),
    h: Math.min(Math.max(numberOf(at['h'], 8), 2), 40),
    unit: textOf(field['unit']),
    min: typeof field['min'] === 'number' ? field['min'] : null,
    max: typeof field['max'] === 'number' ? field['max'] : null,
    isStacked: objectOf(custom['stacking'])['mode'] === 'normal',
    fill: Math.min(Math.max(numberOf(custom['fillOpacity'], 0), 0), 100) / 100,
    steps: listOf(objectOf(field['thresholds'])['steps'])
      .map(objectOf)
      .map(s => ({ colour: textOf(s['color']), value: numberOf(s['value'], -Infinity) })),
    targets: listOf(p['targets'])
      .map(objectOf)
      .map(t => ({ expr: textOf(t['expr']), legend: textOf(t['legendFormat']) })),
    unknown: unknownOf(value, shape),
  }
}

/** Panels belong to the row before them; a closed row may have them inside. */
function rowsOf(list: Json[]): Row[] {
  const rows: Row[] = []
  for (const value of list) {
    const p = objectOf(value)
    if (p['type'] === 'row') {
      rows.push({ title: textOf(p['title']), isCollapsed: p['collapsed'] === true, panels: listOf(p['panels']).map(panelOf) })
    } else {
      if (rows.length === 0) rows.push({ title: '', isCollapsed: false, panels: [] })
      rows[rows.length - 1]!.panels.push(panelOf(value))
    }
  }
  return rows
}

function variableOf(value: Json): Variable | null {
  const v = objectOf(value)
  const query = typeof v['query'] === 'string' ? v['query'] : textOf(objectOf(v['query'])['query'])
  const m = /^\s*label_values\((?:(.+),)?\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\)\s*$/s.exec(query)
  if (v['type'] !== 'query' || m === null || textOf(v['name']) === '') return null
  return {
    name: textOf(v['name']),
    label: textOf(v['label']) || textOf(v['name']),
    match: (m[1] ?? '').trim(),
    of: m[2]!,
    isMulti: v['multi'] === true,
    hasAll: v['includeAll'] === true,
  }
}

/** Reads a dashboard; throws if the value is none. */
export function dashboardOf(value: unknown): Dashboard {
  const d = objectOf(value as Json)
  if (!Array.isArray(d['panels'])) throw new Error('This is not a dashboard of Grafana: it has no panels.')
  const variables: Variable[] = []
  const unknown: string[] = []
  for (const v of listOf(objectOf(d['templating'])['list'])) {
    const variable = variableOf(v)
    if (variable !== null) variables.push(variable)
    // The data source is always this server.
    else if (objectOf(v)['type'] !== 'datasource') unknown.push(`variable ${textOf(objectOf(v)['name'])}`)
  }
  if (listOf(objectOf(d['annotations'])['list']).length > 0) unknown.push('annotations')
  const from = /^now-(\w+)$/.exec(textOf(objectOf(d['time'])['from']))
  return {
    title: textOf(d['title']),
    range: from?.[1] ?? '6h',
    refresh: textOf(d['refresh']),
    variables,
    rows: rowsOf(d['panels']),
    unknown,
  }
}

export type Chosen = Record<string, string[]>

/** Puts the values of variables into an expression: several become alternatives of a regular
 * expression, as in Grafana. */
export function substitute(expr: string, values: Chosen, step: number, range: number): string {
  return expr.replace(/\$(?:(\w+)|\{(\w+)(?::\w+)?\})/g, (text, plain?: string, braced?: string) => {
    const name = plain ?? braced!
    if (name === '__interval') return `${Math.max(1, Math.round(step))}s`
    if (name === '__rate_interval') return `${Math.max(60, Math.round(step) + 15)}s`
    if (name === '__range') return `${Math.round(range)}s`
    const list = Object.hasOwn(values, name) ? values[name]! : null
    if (list === null) return text
    // Quoted twice: for the regular expression, and for the string that it is in.
    const escape = (v: string) => JSON.stringify(v.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).slice(1, -1)
    return list.length === 1 ? escape(list[0]!) : `(${list.map(escape).join('|')})`
  })
}

/** The name of a series by the format of its legend. */
export function legendOf(format: string, labels: Record<string, string>, otherwise: string): string {
  if (format === '' || format === '__auto') return otherwise
  return format.replace(/\{\{\s*([^}\s]+)\s*\}\}/g, (_, name: string) => (Object.hasOwn(labels, name) ? labels[name]! : ''))
}
