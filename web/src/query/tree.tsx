// tree.tsx - the parts of an expression, each with the number of its series, and for each binary
// operator the label sets that have no partner on the other side. The server evaluates each part.

import { useEffect, useState } from 'preact/hooks'
import { ask } from '../lib/api'
import type { Answer } from '../lib/api'
import type { Part } from '../editor/editor'
import { count, duration, seriesText } from '../lib/format'
import type { Labels } from '../lib/format'
import { useLoad } from '../ui/load'
import { Failure, Notice } from '../ui/parts'
import { Link } from '../ui/router'
import { isOfSeries, numberOf } from './result'
import type { Result } from './result'

const lonelyShown = 20
/** Most series whose labels are read. */
const labelledMax = 2000
const labelsShown = 8
const atOnce = 4
const constants = new Set(['scalar', 'time', 'pi', 'start', 'end', 'range', 'step'])

export interface Moment {
  time: string
  lookback_delta: string | undefined
}

function isScalar(p: Part): boolean {
  if (p.kind === 'NumberDurationLiteral' || p.kind === 'StringLiteral') return true
  if (p.kind === 'FunctionCall') return constants.has(p.name)
  return (p.kind === 'BinaryExpr' || p.kind === 'UnaryExpr') && p.children.every(isScalar)
}

function isOfRanges(p: Part): boolean {
  return p.kind === 'MatrixSelector' || p.kind === 'SubqueryExpr' || /\[[^\]]*\]\s*(offset\b|@|anchored\b|smoothed\b)[^\]]*$/i.test(p.text)
}

/** Expressions for the label sets of one side of an operator without a partner on the other side. */
function lonelyOf(p: Part): string[] {
  const [left, right] = p.children
  if (p.matching === null || left === undefined || right === undefined || isScalar(left) || isScalar(right)) return []
  if (p.name === 'or' || p.name === 'unless') return []
  const labels = p.matching.labels.join(', ')
  const [group, match] = p.matching.isOn ? [`by (${labels})`, `on (${labels})`] : [`without (${labels})`, `ignoring (${labels})`]
  const without = (a: Part, b: Part) => `count ${group} (${a.text}) unless ${match} (${b.text})`
  // Series of the left side of `and` are to be left out, so only the right side is worth a word.
  return p.name === 'and' ? [without(left, right)] : [without(left, right), without(right, left)]
}

interface Lonely {
  side: string
  sets: { labels: Labels; series: number }[]
  isMore: boolean
}

interface Found {
  value: string
  /** Names of labels, each with its number of values; empty where there are too many series. */
  labels: [string, number][]
  seconds: number
  lonely: Lonely[]
}

function seriesOf(answer: Answer<Result>) {
  return isOfSeries(answer.data) ? answer.data.result : []
}

/** Counts the values of each label, most first. */
function labelsOf(series: Labels[]): [string, number][] {
  const values = new Map<string, Set<string>>()
  for (const labels of series) {
    for (const [name, value] of Object.entries(labels)) {
      const known = values.get(name)
      if (known !== undefined) known.add(value)
      else values.set(name, new Set([value]))
    }
  }
  return [...values].filter(([name]) => name !== '__name__').map(([name, of]): [string, number] => [name, of.size]).sort((a, b) => b[1] - a[1])
}

async function find(p: Part, moment: Moment, signal: AbortSignal): Promise<Found> {
  const began = performance.now()
  const run = (query: string, limit?: number) => ask<Result>('api/v1/query', { ...moment, query, limit: limit === undefined ? undefined : String(limit) }, signal)
  if (isScalar(p)) {
    const { data } = await run(p.text)
    return { value: isOfSeries(data) ? '' : data.result[1], labels: [], seconds: (performance.now() - began) / 1000, lonely: [] }
  }
  const vector = isOfRanges(p) ? `last_over_time(${p.text})` : p.text
  const counted = await run(`count(${vector})`)
  const seconds = (performance.now() - began) / 1000
  const n = numberOf(seriesOf(counted)[0]?.value?.[1] ?? '0')
  const labels = n > 0 && n <= labelledMax ? labelsOf(seriesOf(await run(vector)).map(s => s.metric)) : []
  const lonely = await Promise.all(
    lonelyOf(p).map(async (query, i) => {
      const found = seriesOf(await run(query, lonelyShown + 1))
      return {
        side: i === 0 ? 'left' : 'right',
        sets: found.slice(0, lonelyShown).map(s => ({ labels: s.metric, series: numberOf(s.value![1]) })),
        isMore: found.length > lonelyShown,
      }
    }),
  )
  return { value: `${count(n)} series`, labels, seconds, lonely: lonely.filter(l => l.sets.length > 0) }
}

/** Runs some of the tasks at a time. */
async function inTurn(tasks: (() => Promise<void>)[]): Promise<void> {
  const rest = tasks.slice()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let t = rest.shift(); t !== undefined; t = rest.shift()) await t()
    }),
  )
}

function rowsOf(p: Part, depth: number): [Part, number][] {
  return [[p, depth], ...p.children.flatMap(c => rowsOf(c, depth + 1))]
}

function LonelySets(props: { lonely: Lonely }) {
  const { side, sets, isMore } = props.lonely
  const n = isMore ? `more than ${lonelyShown}` : String(sets.length)
  return (
    <details class="lonely">
      <summary>
        {n} label {n === '1' ? 'set' : 'sets'} of the {side} side without a partner
      </summary>
      <ul>
        {sets.map(s => (
          <li>
            <code>{seriesText(s.labels)}</code> {s.series > 1 && <small>{count(s.series)} series</small>}
          </li>
        ))}
      </ul>
    </details>
  )
}

function Row(props: { part: Part; depth: number; found: Found | Error | undefined }) {
  const { part, depth, found } = props
  return (
    <tr>
      <td style={{ paddingInlineStart: `${0.5 + depth * 1.4}rem` }}>
        <Link to="query" class="expr" values={new URLSearchParams({ 'g0.expr': part.text })}>
          <code>{part.text}</code>
        </Link>
        {found instanceof Error && <Notice kind="error">{found.message}</Notice>}
        {found !== undefined && !(found instanceof Error) && (
          <>
            {found.labels.length > 0 && (
              <div class="cardinality">
                {found.labels.slice(0, labelsShown).map(([name, n]) => (
                  <small>
                    {name} {count(n)}
                  </small>
                ))}
                {found.labels.length > labelsShown && <small>…</small>}
              </div>
            )}
            {found.lonely.map(l => (
              <LonelySets lonely={l} />
            ))}
          </>
        )}
      </td>
      <td>{part.kind === 'BinaryExpr' || part.kind === 'FunctionCall' || part.kind === 'AggregateExpr' ? <code>{part.name}</code> : ''}</td>
      <td class="number">{found === undefined ? '…' : found instanceof Error ? '–' : found.value}</td>
      <td class="number">{found === undefined || found instanceof Error ? '' : duration(found.seconds)}</td>
    </tr>
  )
}

export function Tree(props: { expr: string; moment: Moment; asked: object }) {
  const [rows, setRows] = useState<[Part, number][] | null>(null)
  const [found, setFound] = useState<Map<Part, Found | Error>>(new Map())
  const [load, send] = useLoad<void>()
  useEffect(() => {
    setRows(null)
    setFound(new Map())
    send(async signal => {
      const { partsOf } = await import('../editor/editor')
      const top = partsOf(props.expr)
      if (signal.aborted) return
      if (top === null) throw new Error('The parts of the expression cannot be shown: the grammar of the editor does not know it.')
      const all = rowsOf(top, 0)
      setRows(all)
      await inTurn(
        all
          .filter(([p]) => p.kind !== 'StringLiteral' && p.kind !== 'NumberDurationLiteral')
          .map(([p]) => async () => {
            const result = await find(p, props.moment, signal).catch((e: Error) => e)
            if (!signal.aborted) setFound(f => new Map(f).set(p, result))
          }),
      )
    })
  }, [props.asked])
  if (load.error !== null) return <Failure error={load.error} />
  return (
    <div class="scroll" role="region" tabIndex={0} aria-label="Parts">
      <table class="tree" aria-busy={load.isLoading}>
        <thead>
          <tr>
            <th scope="col">Part</th>
            <th scope="col">Operator</th>
            <th scope="col" class="number">
              Result
            </th>
            <th scope="col" class="number">
              Time
            </th>
          </tr>
        </thead>
        <tbody>
          {(rows ?? []).map(([p, depth]) => (
            <Row part={p} depth={depth} found={p.kind === 'StringLiteral' || p.kind === 'NumberDurationLiteral' ? { value: '', labels: [], seconds: 0, lonely: [] } : found.get(p)} />
          ))}
        </tbody>
      </table>
    </div>
  )
}
