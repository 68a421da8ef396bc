// panel.tsx - expressions with their graph, table, raw samples, parts or plan.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ask } from '../lib/api'
import { serverNow } from '../lib/clock'
import { bytes, count, duration, short } from '../lib/format'
import { formatDuration, parseDuration } from '../lib/time'
import type { Zone } from '../lib/time'
import { Lazy } from '../ui/lazy'
import { useLoad, useRepeat } from '../ui/load'
import { Check, Failure, Field, Notice, Pick, Tabs } from '../ui/parts'
import { MomentPicker, RangePicker } from '../ui/range'
import { addMatcher } from './edit'
import { ExpressionField } from './editor'
import { csvOf, jsonOf, save, savePicture } from './export'
import { Favourites } from './favourites'
import { Graph } from './graph'
import { History, remember } from './history'
import { expressionsOf, fetchOutcome, resultsOf } from './outcome'
import type { Outcome, Part } from './outcome'
import { axisOf, axisText, panelsOf, valuesOf } from './panels'
import type { Mode, Panel, Tab } from './panels'
import { Plan } from './plan'
import type { Operator } from './plan'
import { isOfSeries } from './result'
import type { Result } from './result'
import { ResultTable } from './table'

const tabs = [
  { id: 'table', label: 'Table' },
  { id: 'graph', label: 'Graph' },
  { id: 'raw', label: 'Raw' },
  { id: 'tree', label: 'Parts' },
  { id: 'explain', label: 'Why' },
]
const modes = [
  { id: 'lines', label: 'Lines' },
  { id: 'stacked', label: 'Stacked' },
  { id: 'heatmap', label: 'Heatmap' },
]

function Exports(props: { panel: Panel; outcome: Outcome; box: HTMLElement | null; onError: (error: Error) => void }) {
  const { outcome } = props
  const picture = () => {
    const canvas = props.box?.querySelector('canvas')
    if (canvas) savePicture(canvas, outcome.parts.map(p => p.expr).join(', '))
  }
  const saveAs = async (name: string, type: string, write: typeof csvOf) => {
    try {
      save(name, type, write(await resultsOf(props.panel, outcome)))
    } catch (e) {
      props.onError(e as Error)
    }
  }
  return (
    <span class="row">
      {outcome.tab !== 'explain' && (
        <button type="button" onClick={() => saveAs('firekeep.csv', 'text/csv', csvOf)}>
          CSV
        </button>
      )}
      <button type="button" onClick={() => saveAs('firekeep.json', 'application/json', jsonOf)}>
        JSON
      </button>
      {outcome.tab === 'graph' && (
        <button type="button" onClick={picture}>
          PNG
        </button>
      )}
    </span>
  )
}

/** The numbers beside a result: time, samples, series, memory, cache, size. Those of several expressions
 * are added up; their memory is taken at the same time. */
function Costs(props: { outcome: Outcome; seconds: number }) {
  const { outcome } = props
  const all = outcome.parts.filter(p => p.error === null)
  const results = all.map(p => p.answer.data as Result)
  const costs = results.flatMap(r => (r.stats?.cost === undefined ? [] : [r.stats.cost]))
  const evaluated = results.flatMap(r => r.stats?.timings['execTotalTime'] ?? [])
  const series = results.flatMap(r => (isOfSeries(r) ? [r.result.length] : []))
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)
  const parts = [`${duration(props.seconds)} in all`]
  if (evaluated.length > 0) parts.push(`${duration(sum(evaluated))} evaluated`)
  if (series.length > 0) parts.push(`${count(sum(series))} series`)
  if (costs.length > 0) {
    parts.push(`${short(sum(costs.map(c => c.samplesRead)))} samples read of ${short(sum(costs.map(c => c.seriesRead)))} series`)
    if (costs[0]!.peakBytes !== undefined) parts.push(`${bytes(sum(costs.map(c => c.peakBytes!)))} memory`)
    if (outcome.tab === 'graph') parts.push(`${count(sum(costs.map(c => c.cachedSteps)))} of ${count(sum(costs.map(c => c.steps)))} steps from the cache`)
  }
  parts.push(`${bytes(sum(all.map(p => p.answer.bytes)))} answer`)
  if (outcome.tab === 'graph') parts.push(`step ${formatDuration(outcome.step)}`)
  return <p class="costs">{parts.join(' · ')}</p>
}

interface ViewProps {
  panel: Panel
  outcome: Outcome
  zone: Zone
  onFilter: (at: number, name: string, value: string) => void
}

/** The view of one expression. Raw samples and parts ask for themselves. */
function PartView(props: ViewProps & { part: Part }) {
  const { outcome, panel, part } = props
  switch (outcome.tab) {
    case 'raw':
      return (
        <Lazy key="raw" load={() => import('./raw')}>
          {m => <m.Raw expr={part.expr} start={outcome.start} end={outcome.end} zone={props.zone} asked={outcome} />}
        </Lazy>
      )
    case 'tree': {
      const moment = { time: String(outcome.end), lookback_delta: panel.lookback === null ? undefined : formatDuration(panel.lookback) }
      return (
        <Lazy key="tree" load={() => import('./tree')}>
          {m => <m.Tree expr={part.expr} moment={moment} asked={outcome} />}
        </Lazy>
      )
    }
    case 'explain':
      return <Plan plan={part.answer.data as Operator} />
    default:
      return <ResultTable data={part.answer.data as Result} zone={props.zone} onFilter={(name, value) => props.onFilter(part.at, name, value)} />
  }
}

function Views(props: ViewProps & { onChange: (change: Partial<Panel>) => void }) {
  const { outcome } = props
  const isMany = outcome.parts.length > 1
  const isGraph = outcome.tab === 'graph'
  return (
    <>
      {outcome.parts.map(part => (
        <>
          {isMany && (!isGraph || part.error !== null) && (
            <h2>
              <code>{part.expr}</code>
            </h2>
          )}
          {part.error !== null && <Failure error={part.error} />}
          {part.answer.warnings.map(w => <Notice kind="warning">{w}</Notice>)}
          {part.answer.infos.map(i => <Notice kind="info">{i}</Notice>)}
          {!isGraph && part.error === null && <PartView {...props} part={part} />}
        </>
      ))}
      {isGraph && outcome.parts.some(p => p.error === null) && <Graph {...props} />}
    </>
  )
}

/** Copies the address of the page, for others to open. What is shown up to now keeps its times. */
function CopyLink() {
  const [text, setText] = useState('Copy link')
  const copy = async () => {
    const address = new URL(location.href)
    const end = Math.floor(serverNow())
    address.search = valuesOf(panelsOf(address.searchParams).map(p => ({ ...p, end: p.end ?? end }))).toString()
    try {
      await navigator.clipboard.writeText(address.href)
      setText('Copied')
    } catch {
      setText('Copy the address of the page')
    }
    setTimeout(() => setText('Copy link'), 2000)
  }
  return (
    <button type="button" onClick={copy}>
      {text}
    </button>
  )
}

/** The field of an expression, and what belongs to it. */
function Expression(props: {
  expr: string
  label: string
  error: Error | null
  onDraft: (text: string) => void
  onRun: () => void
  onPick: (expr: string) => void
  onTrouble: (error: Error | null) => void
  first: ComponentChildren
  last: ComponentChildren
}) {
  const { expr } = props
  /** What the page puts into the editor; what is typed there is in `draft`. */
  const [given, setGiven] = useState({ text: expr })
  const draft = useRef(expr)
  const type = (text: string) => {
    draft.current = text
    props.onDraft(text)
  }
  const give = (text: string) => {
    type(text)
    setGiven({ text })
  }
  useEffect(() => give(expr), [expr])
  const format = async () => {
    try {
      const { data } = await ask<string>('api/v1/format_query', { query: draft.current })
      props.onTrouble(null)
      give(data)
    } catch (e) {
      props.onTrouble(e as Error)
    }
  }
  return (
    <div class="ask">
      <ExpressionField given={given} label={props.label} error={props.error?.message ?? null} onChange={type} onRun={props.onRun} />
      {props.first}
      <button type="button" onClick={format}>
        Format
      </button>
      <History onPick={props.onPick} />
      <Favourites current={() => draft.current} onPick={props.onPick} />
      {props.last}
    </div>
  )
}

export function PanelView(props: {
  panel: Panel
  zone: Zone
  refresh: number
  isAlone: boolean
  onChange: (change: Partial<Panel>) => void
  onRemove: () => void
  /** Adds a panel that is the same. */
  onCopy: () => void
}) {
  const { panel, onChange } = props
  const expressions = [panel.expr, ...panel.more]
  const drafts = useRef(expressions)
  const [load, send] = useLoad<Outcome>()
  /** An error of the expression with an index, or of the panel (-1). */
  const [trouble, setTrouble] = useState<{ at: number; error: Error } | null>(null)
  const box = useRef<HTMLElement>(null)

  const run = () => {
    const asked = expressionsOf(panel)
    if (asked.length === 0) return
    const width = box.current?.clientWidth ?? 1000
    for (const [, expr] of asked) remember(expr)
    send(signal => fetchOutcome(panel, width, signal))
  }
  useRepeat(run, panel.end === null ? props.refresh : 0, [panel])
  const submit = () => {
    setTrouble(null)
    // Unchanged expressions are evaluated again all the same.
    onChange({ expr: drafts.current[0] ?? '', more: drafts.current.slice(1) })
  }
  const pick = (at: number, expr: string) => {
    drafts.current[at] = expr
    submit()
  }
  const filter = (at: number, name: string, value: string) => pick(at, addMatcher(expressions[at]!, name, value))

  const error = trouble?.error ?? load.error
  const outcome = load.value !== null && load.value.tab === panel.tab ? load.value : null
  const errorOf = (at: number) => (trouble?.at === at ? trouble.error : (outcome?.parts.find(p => p.at === at)?.error ?? null))
  return (
    <section class="panel" ref={box} aria-busy={load.isLoading} aria-label={`Expression ${expressions.join(', ')}`}>
      {expressions.map((expr, at) => (
        <Expression
          key={at}
          expr={expr}
          label={at === 0 ? 'Expression' : `Expression ${at + 1}`}
          error={errorOf(at)}
          onDraft={text => (drafts.current[at] = text)}
          onRun={submit}
          onPick={e => pick(at, e)}
          onTrouble={e => setTrouble(e === null ? null : { at, error: e })}
          first={
            at === 0 && (
              <button type="button" class="primary" onClick={submit}>
                Run
              </button>
            )
          }
          last={
            at > 0 ? (
              <button
                type="button"
                aria-label={`Remove expression ${at + 1}`}
                onClick={() => {
                  drafts.current.splice(at, 1)
                  submit()
                }}
              >
                ×
              </button>
            ) : (
              <>
                <button
                  type="button"
                  title="Show another expression in this panel"
                  onClick={() => {
                    drafts.current.push('')
                    submit()
                  }}
                >
                  + Expression
                </button>
                <button type="button" onClick={props.onCopy} title="Add the same panel">
                  Duplicate
                </button>
                {!props.isAlone && (
                  <button type="button" onClick={props.onRemove} aria-label="Remove this panel">
                    ×
                  </button>
                )}
              </>
            )
          }
        />
      ))}
      <div class="controls">
        <Tabs label="View" choices={tabs} value={panel.tab} onChange={tab => onChange({ tab: tab as Tab })} />
        {panel.tab === 'table' || panel.tab === 'tree' ? (
          <MomentPicker span={panel} onChange={onChange} />
        ) : (
          <RangePicker span={panel} onChange={onChange} />
        )}
        {(panel.tab === 'graph' || panel.tab === 'explain') && (
          <Field
            label="Step"
            size={5}
            placeholder="auto"
            value={panel.step === null ? '' : formatDuration(panel.step)}
            wrong={t => t !== '' && !(parseDuration(t) > 0)}
            onChange={t => onChange({ step: t === '' ? null : parseDuration(t) })}
          />
        )}
        {panel.tab !== 'raw' && (
          <Field
            label="Look-back"
            size={5}
            placeholder="default"
            value={panel.lookback === null ? '' : formatDuration(panel.lookback)}
            wrong={t => t !== '' && !(parseDuration(t) > 0)}
            onChange={t => onChange({ lookback: t === '' ? null : parseDuration(t) })}
          />
        )}
        {panel.tab === 'graph' && (
          <>
            <Check label="Cache" value={panel.cache} onChange={cache => onChange({ cache })} />
            <Pick label="Mode" choices={modes} value={panel.mode} onChange={m => onChange({ mode: m as Mode })} />
          </>
        )}
        {panel.tab === 'graph' && panel.mode !== 'heatmap' && (
          <>
            <Field
              label="Thresholds"
              size={8}
              value={panel.thresholds.join(', ')}
              wrong={t => t.trim() !== '' && t.split(',').some(n => n.trim() === '' || !Number.isFinite(Number(n)))}
              onChange={t => onChange({ thresholds: t.trim() === '' ? [] : t.split(',').map(Number) })}
            />
            <Field
              label="Axis"
              size={8}
              placeholder="min:max"
              value={axisText(panel.axis)}
              wrong={t => axisOf(t) === null}
              onChange={t => onChange({ axis: axisOf(t)! })}
            />
            <Check label="Log axis" value={panel.log} onChange={log => onChange({ log })} />
            <Check label="Exemplars" value={panel.exemplars} onChange={exemplars => onChange({ exemplars })} />
          </>
        )}
      </div>
      {error !== null && <Failure error={error} />}
      {outcome !== null && (
        <>
          <Views panel={panel} outcome={outcome} zone={props.zone} onFilter={filter} onChange={onChange} />
          {panel.tab !== 'raw' && panel.tab !== 'tree' && outcome.parts.some(p => p.error === null) && (
            <footer class="title">
              {panel.tab === 'explain' ? <span /> : <Costs outcome={outcome} seconds={load.seconds} />}
              <span class="row">
                <Exports panel={panel} outcome={outcome} box={box.current} onError={e => setTrouble({ at: -1, error: e })} />
                <CopyLink />
              </span>
            </footer>
          )}
        </>
      )}
      {error === null && outcome === null && !load.isLoading && <p class="empty">Enter an expression, such as up.</p>}
    </section>
  )
}
