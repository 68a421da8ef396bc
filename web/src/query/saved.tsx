// saved.tsx - a result or a plan that was saved before, from a file. It stays in the browser, and the
// server is not asked.

import { useEffect, useMemo, useState } from 'preact/hooks'
import { bytes } from '../lib/format'
import { formatTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { useLoad } from '../ui/load'
import { numbered } from '../ui/page'
import { Check, Failure, Notice, Pick, Tabs } from '../ui/parts'
import { Graph } from './graph'
import type { Outcome } from './outcome'
import { newPanel } from './panels'
import type { Mode, Panel } from './panels'
import { Plan } from './plan'
import type { OfSeries, Result } from './result'
import { cut, readSaved, tableOf, withoutValues } from './saved_file'
import type { Saved, Table } from './saved_file'
import { ResultTable } from './table'

const views = [
  { id: 'graph', label: 'Graph' },
  { id: 'table', label: 'Table' },
]
const modes = [
  { id: 'lines', label: 'Lines' },
  { id: 'stacked', label: 'Stacked' },
  { id: 'heatmap', label: 'Heatmap' },
]

function SavedGraph(props: { query: string; result: OfSeries; table: Table; zone: Zone }) {
  const { result, table } = props
  const [panel, setPanel] = useState<Panel>(() => ({ ...newPanel(props.query), tab: 'graph' }))
  const { times } = table.columns
  const change = (c: Partial<Panel>) => setPanel({ ...panel, ...c })
  const outcome = useMemo((): Outcome => {
    const columns = panel.end === null ? table.columns : cut(table.columns, panel.end - panel.seconds, panel.end)
    const answer = { data: withoutValues(result), warnings: [], infos: [], bytes: 0 }
    return {
      tab: 'graph',
      start: columns.times[0] ?? 0,
      end: columns.times[columns.times.length - 1] ?? 0,
      step: table.step,
      parts: [{ at: 0, expr: props.query, answer, error: null, exemplars: [], columns }],
    }
  }, [result, table, panel.end, panel.seconds])
  return (
    <>
      <div class="controls">
        <span>
          {formatTime(times[0]!, props.zone)} – {formatTime(times[times.length - 1]!, props.zone)}
        </span>
        {panel.end !== null && (
          <button type="button" onClick={() => change({ end: null })}>
            Show all of it
          </button>
        )}
        <Pick label="Mode" choices={modes} value={panel.mode} onChange={m => change({ mode: m as Mode })} />
        <Check label="Log axis" value={panel.log} onChange={log => change({ log })} />
      </div>
      <Graph panel={panel} outcome={outcome} zone={props.zone} onChange={change} />
    </>
  )
}

function SavedResult(props: { query: string; result: Result; zone: Zone }) {
  const [view, setView] = useState('graph')
  const table = useMemo(() => tableOf(props.result), [props.result])
  if (table === null || table === 'large') {
    return (
      <>
        {table !== null && <Notice kind="info">The result has too many series or samples for a graph, and is shown as a table.</Notice>}
        <ResultTable data={props.result} zone={props.zone} />
      </>
    )
  }
  return (
    <>
      <Tabs label="View of the saved result" choices={views} value={view} onChange={setView} />
      {view === 'table' ? <ResultTable data={props.result} zone={props.zone} /> : <SavedGraph query={props.query} result={props.result as OfSeries} table={table} zone={props.zone} />}
    </>
  )
}

export function SavedView(props: { file: File; zone: Zone; onClose: () => void }) {
  const { file } = props
  const [load, send] = useLoad<Saved[]>()
  useEffect(() => send(() => readSaved(file)), [file])
  return (
    <section class="panel saved" aria-label={`Saved result ${file.name}`} aria-busy={load.isLoading}>
      <header class="title">
        <Notice kind="info">
          From the file <b>{file.name}</b> ({bytes(file.size)}
          {load.value !== null && `, ${numbered(load.value.length, 'result')}`}): not an answer of this server, and nothing of it is sent.
        </Notice>
        <button type="button" aria-label={`Close ${file.name}`} onClick={props.onClose}>
          ×
        </button>
      </header>
      {load.error !== null && <Failure error={load.error} />}
      {load.value?.map((saved, i) => (
        <div key={i}>
          {saved.query !== '' && (
            <h2>
              <code>{saved.query}</code>
            </h2>
          )}
          {saved.warnings.map(w => (
            <Notice kind="warning">{w}</Notice>
          ))}
          {saved.infos.map(i => (
            <Notice kind="info">{i}</Notice>
          ))}
          {saved.plan !== null && <Plan plan={saved.plan} />}
          {saved.result !== null && <SavedResult query={saved.query} result={saved.result} zone={props.zone} />}
        </div>
      ))}
    </section>
  )
}
