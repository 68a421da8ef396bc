// dashboards.tsx - dashboards in Grafana's JSON: the two that are part of the program, or a file of the
// user, which stays in the browser.

import type { ComponentChildren } from 'preact'
import { useMemo, useRef, useState } from 'preact/hooks'
import keeper from '../../../docs/firekeep.dashboard.json'
import node from '../../../docs/node_exporter.dashboard.json'
import { serverNow } from '../lib/clock'
import { parseDuration } from '../lib/time'
import { useLoad, useRepeat } from '../ui/load'
import { Failure, FileButton, Notice, Pick } from '../ui/parts'
import { RangePicker, RefreshPick, rangeOf, writeRange } from '../ui/range'
import type { Range } from '../ui/range'
import { go, usePlace } from '../ui/router'
import { useSettings } from '../ui/settings'
import { dashboardOf } from './grafana'
import type { Chosen, Dashboard, Row } from './grafana'
import { PanelCell } from './panel'
import { VariableControls, loadVariables } from './variables'
import type { Choices } from './variables'

const builtIn: Record<string, { json: unknown; missing: string }> = {
  keeper: {
    json: keeper,
    missing: 'There are no metrics of Firekeep itself in this range. Set self_scrape.interval, or scrape /metrics.',
  },
  node: { json: node, missing: 'There are no metrics of the node exporter in this range.' },
}

function RowView(props: { row: Row; chosen: Chosen | null; range: Range; onZoom: (start: number, end: number) => void }) {
  const [{ zone }] = useSettings()
  const cells = (
    <div class="cells">
      {props.row.panels.map((p, i) => (
        <PanelCell key={i} panel={p} chosen={props.chosen} range={props.range} zone={zone} onZoom={props.onZoom} />
      ))}
    </div>
  )
  if (props.row.title === '') return cells
  return (
    <details class="dashrow" open={!props.row.isCollapsed}>
      <summary>
        <h2>{props.row.title}</h2>
      </summary>
      {cells}
    </details>
  )
}

function DashboardView(props: { id: string; dashboard: Dashboard; missing: string; range: Range; values: URLSearchParams; onChange: (change: (values: URLSearchParams) => void) => void; children: ComponentChildren }) {
  const { dashboard, range, values } = props
  const [load, send] = useLoad<{ choices: Choices; chosen: Chosen }>()
  const wanted = dashboard.variables.map(v => values.getAll(`var-${v.name}`))
  useRepeat(
    () => {
      const end = range.end ?? serverNow()
      const byName = (name: string) => wanted[dashboard.variables.findIndex(v => v.name === name)]!
      send(signal => loadVariables(dashboard.variables, byName, { start: end - range.seconds, end }, signal))
    },
    range.end === null && range.refresh > 0 ? Math.max(30, range.refresh) : 0,
    [dashboard, JSON.stringify(wanted), range.seconds, range.end],
  )
  // The same values are the same object, so that panels are asked again only when they change.
  // While the variables cannot be read, the values of before are in force.
  const before = useRef<string | null>(null)
  if (load.value !== null) before.current = JSON.stringify(load.value.chosen)
  const text = before.current
  const chosen = useMemo(() => (text === null ? null : (JSON.parse(text) as Chosen)), [text])
  const isMissing = chosen !== null && dashboard.variables.length > 0 && chosen[dashboard.variables[0]!.name]!.length === 0
  return (
    <>
      <div class="controls">
        {props.children}
        {load.value !== null && (
          <VariableControls
            variables={dashboard.variables}
            choices={load.value.choices}
            chosen={load.value.chosen}
            onChange={(name, list) =>
              props.onChange(v => {
                v.delete(`var-${name}`)
                for (const one of list) v.append(`var-${name}`, one)
              })
            }
          />
        )}
      </div>
      {load.error !== null && <Failure error={load.error} />}
      {dashboard.unknown.length > 0 && <Notice kind="info">Not shown: {dashboard.unknown.join(', ')}</Notice>}
      {isMissing && props.missing !== '' && <Notice kind="info">{props.missing}</Notice>}
      {(chosen !== null || load.error === null) &&
        dashboard.rows.map((row, i) => (
          <RowView
            key={`${props.id} ${i}`}
            row={row}
            chosen={chosen}
            range={range}
            onZoom={(start, end) => props.onChange(v => writeRange(v, { ...range, seconds: Math.max(1, Math.round(end - start)), end }))}
          />
        ))}
    </>
  )
}

export function DashboardsPage() {
  const { values } = usePlace()
  const [own, setOwn] = useState<Dashboard | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const named = values.get('dashboard') ?? 'keeper'
  const id = named === 'file' && own !== null ? 'file' : Object.hasOwn(builtIn, named) ? named : 'keeper'
  const dashboard = useMemo(() => (id === 'file' ? own! : dashboardOf(builtIn[id]!.json)), [id, own])
  const text = values.toString()
  const range = useMemo(() => {
    const refresh = parseDuration(dashboard.refresh)
    return rangeOf(values, { seconds: parseDuration(dashboard.range) || 21600, end: null, refresh: refresh > 0 ? refresh : 0 })
  }, [text, dashboard])
  const change = (edit: (values: URLSearchParams) => void) => {
    const next = new URLSearchParams(values)
    next.set('dashboard', id)
    edit(next)
    go('dashboards', next)
  }
  const open = (name: string) => change(v => [v.set('dashboard', name), ...[...v.keys()].filter(k => k.startsWith('var-')).map(k => v.delete(k))])
  const read = async (file: File) => {
    try {
      setOwn(dashboardOf(JSON.parse(await file.text())))
      setError(null)
      open('file')
    } catch (e) {
      setError(e as Error)
    }
  }
  const choices = [
    { id: 'keeper', label: 'Firekeep' },
    { id: 'node', label: 'Node exporter' },
    ...(own === null ? [] : [{ id: 'file', label: own.title || 'File' }]),
  ]
  return (
    <>
      <header class="title">
        <h1>Dashboards</h1>
        <span class="row">
          <RangePicker span={range} onChange={c => change(v => writeRange(v, { ...range, ...c }))} />
          <RefreshPick value={range.refresh} onChange={refresh => change(v => writeRange(v, { ...range, refresh }))} />
        </span>
      </header>
      {error !== null && <Failure error={error} />}
      <DashboardView
        key={id}
        id={id}
        dashboard={dashboard}
        missing={builtIn[id]?.missing ?? ''}
        range={range}
        values={values}
        onChange={change}
      >
        <Pick label="Dashboard" choices={choices} value={id} onChange={open} />
        <FileButton label="Open a file…" onFile={read} />
      </DashboardView>
    </>
  )
}
