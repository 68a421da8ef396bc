// tree.tsx - the parts of an expression drawn as a tree, each with the number of its series, and for
// each binary operator the label sets that have a partner on the other side, and those that have none.
// The server evaluates each part.

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
import { wordsOf } from './words'

const setsShown = 20
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

/** Expressions for the label sets of the sides of an operator that match: those of one side without a
 * partner on the other side, and for both sides those with one. */
function matchesOf(p: Part): { lonely: string[]; matched: string[] } {
  const [left, right] = p.children
  const none = { lonely: [], matched: [] }
  if (p.matching === null || left === undefined || right === undefined || isScalar(left) || isScalar(right)) return none
  const labels = p.matching.labels.join(', ')
  const [group, match] = p.matching.isOn ? [`by (${labels})`, `on (${labels})`] : [`without (${labels})`, `ignoring (${labels})`]
  const query = (a: Part, operator: string, b: Part) => `count ${group} (${a.text}) ${operator} ${match} (${b.text})`
  const matched = [query(left, 'and', right), query(right, 'and', left)]
  if (p.name === 'or' || p.name === 'unless') return { lonely: [], matched }
  // Series of the left side of `and` are to be left out, so only the right side is worth a word.
  const lonely = [query(right, 'unless', left)]
  return { lonely: p.name === 'and' ? lonely : [query(left, 'unless', right), ...lonely], matched }
}

interface Lonely {
  side: string
  sets: { labels: Labels; series: number }[]
  isMore: boolean
}

/** A label set that both sides have, with the number of series on each; NaN: it is not known. */
interface Pair {
  labels: Labels
  left: number
  right: number
}

interface Found {
  /** Why the part has no result; label sets are found all the same. */
  error: Error | null
  value: string
  /** Names of labels, each with its number of values; empty where there are too many series. */
  labels: [string, number][]
  seconds: number
  lonely: Lonely[]
  pairs: Pair[]
}

const nothing: Found = { error: null, value: '', labels: [], seconds: 0, lonely: [], pairs: [] }

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
    return { ...nothing, value: isOfSeries(data) ? '' : data.result[1], seconds: (performance.now() - began) / 1000 }
  }
  const vector = isOfRanges(p) ? `last_over_time(${p.text})` : p.text
  const found = { ...nothing }
  try {
    const counted = await run(`count(${vector})`)
    found.seconds = (performance.now() - began) / 1000
    const n = numberOf(seriesOf(counted)[0]?.value?.[1] ?? '0')
    found.value = `${count(n)} series`
    if (n > 0 && n <= labelledMax) found.labels = labelsOf(seriesOf(await run(vector)).map(s => s.metric))
  } catch (e) {
    found.error = e as Error
  }
  const matches = matchesOf(p)
  const sets = async (query: string) => seriesOf(await run(query, setsShown + 1)).map(s => ({ labels: s.metric, series: numberOf(s.value![1]) }))
  const all = (queries: string[]) => Promise.all(queries.map(sets)).catch(() => [])
  const [lonely, matched] = await Promise.all([all(matches.lonely), all(matches.matched)])
  return {
    ...found,
    lonely: lonely
      .map((found, i) => ({ side: i === lonely.length - 1 ? 'right' : 'left', sets: found.slice(0, setsShown), isMore: found.length > setsShown }))
      .filter(l => l.sets.length > 0),
    pairs: pairsOf(matched[0] ?? [], matched[1] ?? []),
  }
}

function pairsOf(left: Lonely['sets'], right: Lonely['sets']): Pair[] {
  const other = new Map(right.map(s => [seriesText(s.labels), s.series]))
  return left.map(s => ({ labels: s.labels, left: s.series, right: other.get(seriesText(s.labels)) ?? NaN }))
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

function allOf(p: Part): Part[] {
  return [p, ...p.children.flatMap(allOf)]
}

function LonelySets(props: { lonely: Lonely }) {
  const { side, sets, isMore } = props.lonely
  const n = isMore ? `more than ${setsShown}` : String(sets.length)
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

/** `many`: the sides that may have several series of a label set. */
function Pairs(props: { pairs: Pair[]; many: string | null }) {
  const shown = props.pairs.slice(0, setsShown)
  const n = props.pairs.length > setsShown ? `More than ${setsShown}` : String(shown.length)
  const number = (series: number, side: string) => (
    <td class={`number ${series > 1 && props.many !== 'both' && props.many !== side ? 'bad' : ''}`}>{Number.isNaN(series) ? '…' : count(series)}</td>
  )
  return (
    <details class="pairs">
      <summary>
        {n} label {n === '1' ? 'set' : 'sets'} with a partner
      </summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Label set</th>
            <th scope="col" class="number">
              Left series
            </th>
            <th scope="col" class="number">
              Right series
            </th>
          </tr>
        </thead>
        <tbody>
          {shown.map(p => (
            <tr>
              <td>
                <code>{seriesText(p.labels)}</code>
              </td>
              {number(p.left, 'left')}
              {number(p.right, 'right')}
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  )
}

const sets = new Set(['and', 'or', 'unless'])

function Details(props: { part: Part; found: Found }) {
  const { part, found } = props
  return (
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
      {found.pairs.length > 0 && <Pairs pairs={found.pairs} many={sets.has(part.name) ? 'both' : part.matching!.many} />}
    </>
  )
}

function Node(props: { part: Part; found: Map<Part, Found> }) {
  const { part } = props
  const found = isLiteral(part) ? nothing : props.found.get(part)
  const words = wordsOf(part, isScalar, isOfRanges)
  return (
    <li>
      <div class="node">
        <Link to="query" class="expr" values={new URLSearchParams({ 'g0.expr': part.text })}>
          <code>{part.text}</code>
        </Link>
        {found === undefined && <span>…</span>}
        {found !== undefined && found.error !== null && <Notice kind="error">{found.error.message}</Notice>}
        {found !== undefined && found.value !== '' && (
          <span class="number">
            <b>{found.value}</b> <small>{duration(found.seconds)}</small>
          </span>
        )}
        {words !== '' && <p>{words}</p>}
        {found !== undefined && <Details part={part} found={found} />}
      </div>
      {part.children.length > 0 && (
        <ul>
          {part.children.map(p => (
            <Node part={p} found={props.found} />
          ))}
        </ul>
      )}
    </li>
  )
}

function isLiteral(p: Part): boolean {
  return p.kind === 'StringLiteral' || p.kind === 'NumberDurationLiteral'
}

export function Tree(props: { expr: string; moment: Moment; asked: object }) {
  const [top, setTop] = useState<Part | null>(null)
  const [found, setFound] = useState<Map<Part, Found>>(new Map())
  const [load, send] = useLoad<void>()
  useEffect(() => {
    setTop(null)
    setFound(new Map())
    send(async signal => {
      const { partsOf } = await import('../editor/editor')
      const top = partsOf(props.expr)
      if (signal.aborted) return
      if (top === null) throw new Error('The parts of the expression cannot be shown: the grammar of the editor does not know it.')
      setTop(top)
      await inTurn(
        allOf(top)
          .filter(p => !isLiteral(p))
          .map(p => async () => {
            const result = await find(p, props.moment, signal).catch((error: Error): Found => ({ ...nothing, error }))
            if (!signal.aborted) setFound(f => new Map(f).set(p, result))
          }),
      )
    })
  }, [props.asked])
  if (load.error !== null) return <Failure error={load.error} />
  return (
    <div class="scroll" role="region" tabIndex={0} aria-label="Parts">
      <ul class="tree" aria-busy={load.isLoading}>
        {top !== null && <Node part={top} found={found} />}
      </ul>
    </div>
  )
}
