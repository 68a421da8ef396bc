// plan.tsx - how the server evaluates an expression, and what each part of it reads and costs.

import { bytes, count, duration } from '../lib/format'

export interface Operator {
  operator: string
  detail: string
  series: number | null
  blocks: number | null
  samples: number | null
  bytes: number | null
  exact?: boolean
  ms?: number
  peak_bytes?: number
  children?: Operator[]
  stats?: { total_ms?: number; peak_bytes?: number }
}

function rowsOf(o: Operator, depth: number): [Operator, number][] {
  return [[o, depth], ...(o.children ?? []).flatMap(c => rowsOf(c, depth + 1))]
}

function cell(value: number | null | undefined, write: (n: number) => string, about: boolean): string {
  return value === null || value === undefined ? '–' : (about ? '≈ ' : '') + write(value)
}

export function Plan(props: { plan: Operator }) {
  const rows = rowsOf(props.plan, 0)
  const slowest = Math.max(...rows.map(([o]) => o.ms ?? 0))
  const hasRun = props.plan.ms !== undefined
  return (
    <div class="scroll" role="region" tabIndex={0} aria-label="Plan">
      <table class="plan">
        <thead>
          <tr>
            <th scope="col">Operator</th>
            <th scope="col" class="number">Series</th>
            <th scope="col" class="number">Blocks</th>
            <th scope="col" class="number">Samples</th>
            <th scope="col" class="number">Bytes</th>
            {hasRun && <th scope="col" class="number">Time</th>}
            {hasRun && <th scope="col" class="number">Memory</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map(([o, depth]) => (
            <tr class={hasRun && o.ms === slowest && rows.length > 1 ? 'slowest' : ''}>
              <td>
                <span style={{ marginInlineStart: `${depth * 1.25}rem` }}>
                  <b>{o.operator}</b> <code>{o.detail}</code>
                </span>
              </td>
              <td class="number">{cell(o.series, count, o.exact === false)}</td>
              <td class="number">{cell(o.blocks, count, o.exact === false)}</td>
              <td class="number">{cell(o.samples, count, o.exact === false)}</td>
              <td class="number">{cell(o.bytes, bytes, o.exact === false)}</td>
              {hasRun && <td class="number">{cell(o.ms, ms => duration(ms / 1000), false)}</td>}
              {hasRun && <td class="number">{cell(o.peak_bytes, bytes, false)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
