// tools.tsx - what would become of a series: limits, relabelling rules step by step, destinations.

import { useEffect, useState } from 'preact/hooks'
import { get } from '../lib/api'
import { count } from '../lib/format'
import { useLoad } from '../ui/load'
import { Failure, Notice } from '../ui/parts'
import { go, usePlace } from '../ui/router'
import { addedOf } from './labels'

interface Step {
  step: string
  number: number
  rule?: string
  /** Null: the series ends here. */
  series: string | null
}

interface Steps {
  steps: Step[]
  series: string | null
}

interface Fate {
  series: string | null
  write: { reason: string; checks: { setting: string; limit: number; value: number; ok: boolean }[] }
  rules?: Steps
  destinations?: (Steps & { name: string; type: string })[]
}

/** Says whether a setting demands a name; the others are limits. */
function isOfName(setting: string): boolean {
  return setting.startsWith('write.require_name')
}

function WriteView(props: { fate: Fate }) {
  const { write } = props.fate
  const failed = write.checks.filter(c => !c.ok && c.setting.startsWith('write.max_series'))
  return (
    <>
      {write.reason !== '' && <Notice kind="error">A write of this series is refused: {write.reason.replaceAll('_', ' ')}.</Notice>}
      {write.reason === '' && failed.length > 0 && (
        <Notice kind="warning">The limit {failed.map(f => f.setting).join(' and ')} is reached: it is refused, unless it is active already (series limit).</Notice>
      )}
      {write.reason === '' && failed.length === 0 && <Notice kind="info">No limit of writes catches this series.</Notice>}
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Limit</th>
              <th scope="col" class="number">
                Of the series
              </th>
              <th scope="col" class="number">
                Limit
              </th>
              <th scope="col">Result</th>
            </tr>
          </thead>
          <tbody>
            {write.checks.map(c => (
              <tr>
                <td>
                  <code>{c.setting}</code>
                </td>
                <td class="number">{isOfName(c.setting) ? (c.value > 0 ? 'named' : 'no name') : count(c.value)}</td>
                <td class="number">{isOfName(c.setting) ? 'a name' : count(c.limit)}</td>
                <td>
                  <span class={`state ${c.ok ? 'ok' : 'err'}`}>{c.ok ? 'ok' : 'refused'}</span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}

/** What a step did: labels that are new or gone. */
function Change(props: { before: string; after: string | null }) {
  if (props.after === null) return <b class="bad">the series ends here</b>
  if (props.after === props.before) return <small>no change</small>
  return (
    <>
      {addedOf(props.after, props.before).map(l => (
        <del>{l}</del>
      ))}{' '}
      {addedOf(props.before, props.after).map(l => (
        <ins>{l}</ins>
      ))}
    </>
  )
}

function StepsView(props: { before: string; of: Steps; sent: string }) {
  let before = props.before
  return (
    <>
      <ol class="steps">
        {props.of.steps.map(s => {
          const was = before
          before = s.series ?? ''
          return (
            <li>
              <b>
                {s.step.replaceAll('_', ' ')}
                {s.step === 'relabel' ? ` ${s.number}` : ''}
              </b>{' '}
              {s.rule !== undefined && <code>{s.rule}</code>} <Change before={was} after={s.series} />
            </li>
          )
        })}
      </ol>
      <p>
        {props.of.series === null ? (
          <b class="bad">{props.sent}: nothing</b>
        ) : (
          <>
            {props.sent}: <code>{props.of.series}</code>
          </>
        )}
      </p>
    </>
  )
}

const example = `relabel:
- source_labels: [job]
  regex: (.+)-exporter
  target_label: job
- action: labeldrop
  regex: pod_.*
`

export function ToolsPage() {
  const { values } = usePlace()
  const [series, setSeries] = useState(values.get('series') ?? 'up{job="node-exporter", instance="one:9100", pod_id="7"}')
  const [rules, setRules] = useState(values.get('rules') ?? example)
  const [load, send] = useLoad<Fate>()
  const ask = () => {
    // A list without its key is one, too.
    const list = /^\s*(#.*\n\s*)*-/.test(rules) ? `relabel:\n${rules}` : rules
    send(async signal => (await get<Fate>('api/v1/explain_write', { series, rules: list }, signal)).data)
  }
  const submit = () => {
    go('tools', new URLSearchParams({ series, rules }), true)
    ask()
  }
  useEffect(() => {
    if (values.has('series')) ask()
  }, [])
  const fate = load.error === null ? load.value : null
  return (
    <>
      <header class="title">
        <h1>Tools</h1>
      </header>
      <p>What becomes of a series that is written: which limit or rule catches it, and under which labels each destination gets it.</p>
      <form
        class="tool"
        onSubmit={e => {
          e.preventDefault()
          submit()
        }}
      >
        <label>
          Series
          <textarea class="code" rows={2} spellcheck={false} value={series} onInput={e => setSeries(e.currentTarget.value)} />
        </label>
        <label>
          Relabelling rules to try, as in the configuration of Firekeep or Prometheus
          <textarea class="code" rows={8} spellcheck={false} value={rules} onInput={e => setRules(e.currentTarget.value)} />
        </label>
        <button type="submit" class="primary">
          Show each step
        </button>
      </form>
      <div aria-live="polite" aria-busy={load.isLoading}>
        {load.error !== null && <Failure error={load.error} />}
        {fate !== null && (
          <>
            <h2>Write</h2>
            <WriteView fate={fate} />
            {fate.rules !== undefined && fate.series !== null && (
              <>
                <h2>Rules</h2>
                <StepsView before={fate.series} of={fate.rules} sent="Result" />
              </>
            )}
            {fate.destinations !== undefined && fate.series !== null && (
              <>
                <h2>Destinations</h2>
                {fate.destinations.length === 0 && <p class="empty">No destinations are configured.</p>}
                {fate.destinations.map(d => (
                  <section class="card" aria-label={`Steps of ${d.name}`}>
                    <b>{d.name}</b> <small>{d.type}</small>
                    <StepsView before={fate.series!} of={d} sent="Sent" />
                  </section>
                ))}
              </>
            )}
          </>
        )}
      </div>
    </>
  )
}
