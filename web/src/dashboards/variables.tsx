// variables.tsx - the variables of a dashboard: their values are asked from the server, in the order
// of the dashboard, because a variable may depend on those before it.

import { useRef } from 'preact/hooks'
import { get } from '../lib/api'
import { Check, Pick } from '../ui/parts'
import { substitute } from './grafana'
import type { Chosen, Variable } from './grafana'

/** For each variable the values that there are. */
export type Choices = Record<string, string[]>

const chosenMax = 500

/** The values in force: those of the address; without, all or the first. */
export function inForce(v: Variable, options: string[], wanted: string[]): string[] {
  const kept = wanted.filter(w => options.includes(w))
  if (kept.length > 0) return v.isMulti ? kept : kept.slice(0, 1)
  return v.hasAll ? options : options.slice(0, 1)
}

export async function loadVariables(
  variables: Variable[],
  wanted: (name: string) => string[],
  range: { start: number; end: number },
  signal: AbortSignal,
): Promise<{ choices: Choices; chosen: Chosen }> {
  const choices: Choices = {}
  const chosen: Chosen = {}
  for (const v of variables) {
    const match = v.match === '' ? undefined : substitute(v.match, chosen, 1, range.end - range.start)
    const { data } = await get<string[]>(
      `api/v1/label/${encodeURIComponent(v.of)}/values`,
      { 'match[]': match, start: String(range.start), end: String(range.end), limit: String(chosenMax) },
      signal,
    )
    choices[v.name] = data
    chosen[v.name] = inForce(v, data, wanted(v.name))
  }
  return { choices, chosen }
}

/** Several values of a variable: a list that opens. */
function Several(props: { variable: Variable; options: string[]; value: string[]; onChange: (values: string[]) => void }) {
  const { variable, options, value } = props
  const box = useRef<HTMLDetailsElement>(null)
  const isAll = value.length === options.length
  const text = isAll ? 'All' : value.join(', ')
  const toggle = (option: string, on: boolean) => {
    // From all, a choice is a choice of one.
    const next = isAll ? [option] : on ? [...value, option] : value.filter(v => v !== option)
    props.onChange(next.length === options.length ? [] : next)
  }
  const close = () => {
    box.current!.open = false
    box.current!.querySelector('summary')!.focus()
  }
  const leave = (event: FocusEvent) => {
    if (event.relatedTarget !== null && !box.current!.contains(event.relatedTarget as Node)) box.current!.open = false
  }
  return (
    <details class="several" ref={box} onFocusOut={leave} onKeyDown={e => e.key === 'Escape' && close()}>
      <summary>
        <span>{variable.label}</span> {options.length === 0 ? 'none' : text.length > 40 ? `${value.length} of ${options.length}` : text}
      </summary>
      <div>
        <Check label="All" value={isAll} onChange={() => props.onChange([])} />
        {options.map(o => (
          <Check key={o} label={o} value={!isAll && value.includes(o)} onChange={on => toggle(o, on)} />
        ))}
      </div>
    </details>
  )
}

export function VariableControls(props: { variables: Variable[]; choices: Choices; chosen: Chosen; onChange: (name: string, values: string[]) => void }) {
  return (
    <>
      {props.variables.map(v => {
        const options = props.choices[v.name] ?? []
        const value = props.chosen[v.name] ?? []
        if (v.isMulti) return <Several key={v.name} variable={v} options={options} value={value} onChange={list => props.onChange(v.name, list)} />
        const choices = options.map(o => ({ id: o, label: o }))
        return <Pick key={v.name} label={v.label} choices={choices} value={value[0] ?? ''} onChange={o => props.onChange(v.name, [o])} />
      })}
    </>
  )
}
