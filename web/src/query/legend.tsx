// legend.tsx - the list of series below a graph, in groups: values at the pointer, or the last ones.

import { useMemo } from 'preact/hooks'
import { seriesText, short } from '../lib/format'
import { Pick } from '../ui/parts'
import { colourOf } from './colour'
import type { Drawn, Outcome } from './outcome'
import type { Group, Panel } from './panels'
import { summaryOf } from './result'
import type { Columns } from './result'
import { SeriesName } from './table'

const most = 50
/** Series that are asked for names of labels. */
const namedMax = 200

/** The group that is in force: without a choice, each expression has one if there are several. */
function groupOf(panel: Panel): Group {
  return panel.group ?? (panel.more.length > 0 ? 'expression' : 'none')
}

/** The name of each series' group; null: there are no groups. */
export function groupsOf(panel: Panel, outcome: Outcome, series: Drawn[]): string[] | null {
  const group = groupOf(panel)
  if (group === 'expression') return series.map(s => outcome.parts.find(p => p.at === s.at)!.expr)
  if (!group.startsWith('label:')) return null
  const name = group.slice(6)
  return series.map(s => (s.metric[name] === undefined ? `without ${name}` : seriesText({ [name]: s.metric[name] })))
}

export function GroupPick(props: { panel: Panel; series: Drawn[]; onChange: (change: Partial<Panel>) => void }) {
  const { panel, series } = props
  const names = useMemo(() => [...new Set(series.slice(0, namedMax).flatMap(s => Object.keys(s.metric)))], [series])
  if (series.length < 2) return null
  const choices = [
    { id: 'none', label: 'nothing' },
    ...(panel.more.length > 0 ? [{ id: 'expression', label: 'expression' }] : []),
    ...names.map(n => ({ id: `label:${n}`, label: n })),
  ]
  return <Pick label="Group by" choices={choices} value={groupOf(panel)} onChange={group => props.onChange({ group })} />
}

function rank(value: number): number {
  return Number.isNaN(value) ? -Infinity : value
}

function Summary(props: { column: Float64Array }) {
  const s = useMemo(() => summaryOf(props.column), [props.column])
  return (
    <>
      {(s === null ? ['', '', ''] : [short(s.least), short(s.mean), short(s.greatest)]).map(text => (
        <td class="number summary">{text}</td>
      ))}
    </>
  )
}

/** Puts indexes of series into groups, in the order in which these appear. */
function grouped(order: number[], groups: string[] | null): [string | null, number[]][] {
  if (groups === null) return [[null, order]]
  const all = new Map<string, number[]>()
  for (const i of order) {
    const list = all.get(groups[i]!)
    if (list === undefined) all.set(groups[i]!, [i])
    else list.push(i)
  }
  return [...all]
}

export function Legend(props: {
  series: Drawn[]
  groups: string[] | null
  /** The values of each series, and those at the pointer or the last ones. */
  columns: Columns
  values: Float64Array
  valuesAre: string
  shown: Set<number> | null
  onShow: (shown: Set<number> | null) => void
  onFilter?: (at: number, name: string, value: string) => void
}) {
  const order = props.series.map((_, i) => i)
  if (props.series.length > most) order.sort((a, b) => rank(props.values[b]!) - rank(props.values[a]!))
  const toggle = (i: number, only: boolean) => {
    if (only) {
      const isOnly = props.shown?.size === 1 && props.shown.has(i)
      props.onShow(isOnly ? null : new Set([i]))
      return
    }
    const next = new Set(props.shown ?? order)
    if (!next.delete(i)) next.add(i)
    props.onShow(next.size === props.series.length ? null : next)
  }
  const isShown = (i: number) => props.shown === null || props.shown.has(i)
  /** All series of the group, also those that are not listed. */
  const showGroup = (name: string) => {
    const all = order.filter(i => props.groups![i] === name)
    const isOnly = props.shown !== null && props.shown.size === all.length && all.every(isShown)
    props.onShow(isOnly ? null : new Set(all))
  }
  return (
    <table class="legend">
      <caption>{props.series.length > most ? `${most} of ${props.series.length} series, highest first` : `${props.series.length} series`}</caption>
      <thead>
        <tr>
          <td />
          <th scope="col">Series</th>
          {['Min', 'Mean', 'Max', props.valuesAre].map(name => (
            <th scope="col" class="number">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      {grouped(order.slice(0, most), props.groups).map(([name, of]) => (
        <tbody>
          {name !== null && (
            <tr>
              <th scope="rowgroup" colSpan={6}>
                <button type="button" class="label" title="Click: only this group" onClick={() => showGroup(name)}>
                  <code>{name}</code>
                </button>
              </th>
            </tr>
          )}
          {of.map(i => (
            <tr class={isShown(i) ? '' : 'hidden'}>
              <td>
                <button
                  type="button"
                  class="swatch"
                  aria-pressed={isShown(i)}
                  aria-label={`Show ${seriesText(props.series[i]!.metric)}`}
                  title="Click: only this series; Ctrl+click: switch it on or off"
                  onClick={e => toggle(i, !(e.ctrlKey || e.metaKey))}
                  style={{ backgroundColor: colourOf(i) }}
                />
              </td>
              <td>
                <SeriesName metric={props.series[i]!.metric} onFilter={props.onFilter && ((name, value) => props.onFilter!(props.series[i]!.at, name, value))} />
              </td>
              <Summary column={props.columns.values[i]!} />
              <td class="number">{Number.isNaN(props.values[i]!) ? '' : short(props.values[i]!)}</td>
            </tr>
          ))}
        </tbody>
      ))}
    </table>
  )
}
