// alerts.tsx - alerting rules with their pending and firing alerts.

import { formatDuration } from '../lib/time'
import { count, short } from '../lib/format'
import { Search, Shown, Title, numbered } from '../ui/page'
import { Pick } from '../ui/parts'
import { useArgument, usePlace } from '../ui/router'
import { Alertmanagers } from './alertmanagers'
import { Ago, Expression, LabelList, Linked, State } from './parts'
import { matches } from './types'
import type { Alert, Group, Rule } from './types'

const order = { firing: 0, pending: 1, unknown: 2, inactive: 3 }

const alertsShown = 200

function AlertRows(props: { alerts: Alert[] }) {
  const rest = props.alerts.length - alertsShown
  return (
    <table class="stack">
      <thead>
        <tr>
          <th scope="col">State</th>
          <th scope="col">Labels</th>
          <th scope="col">Since</th>
          <th scope="col" class="number">
            Value
          </th>
        </tr>
      </thead>
      <tbody>
        {props.alerts.slice(0, alertsShown).map(a => (
          <tr>
            <td>
              <State state={a.state} />
            </td>
            <td class="wide">
              <LabelList labels={a.labels} without="alertname" />
              <dl class="annotations">
                {Object.entries(a.annotations).map(([n, v]) => (
                  <>
                    <dt>{n}</dt>
                    <dd>
                      <Linked text={v} />
                    </dd>
                  </>
                ))}
              </dl>
            </td>
            <td>
              <Ago time={a.activeAt} />
            </td>
            <td class="number">{short(Number(a.value))}</td>
          </tr>
        ))}
      </tbody>
      {rest > 0 && <caption>{numbered(rest, 'more alert')} {rest === 1 ? 'is' : 'are'} not shown.</caption>}
    </table>
  )
}

/** Counts alerts by state: 2 firing, 1 pending. */
function countsOf(alerts: Alert[]): string {
  const of = (state: string) => alerts.filter(a => a.state === state).length
  return (['firing', 'pending'] as const).filter(s => of(s) > 0).map(s => `${count(of(s))} ${s}`).join(', ')
}

function AlertingRule(props: { rule: Rule; group: Group }) {
  const { rule, group } = props
  const alerts = rule.alerts ?? []
  return (
    <details class="card" open={alerts.length > 0 && alerts.length <= 10}>
      <summary>
        <State state={rule.state ?? 'unknown'} /> <b>{rule.name}</b> <small>{alerts.length > 0 ? `${countsOf(alerts)} · ` : ''}group {group.name}</small>
        {rule.health === 'err' && <State state="err" />}
      </summary>
      <p>
        <Expression text={rule.query} />
      </p>
      <p>
        {rule.duration ? `for ${formatDuration(rule.duration)} ` : ''}
        {rule.keepFiringFor ? `keep firing for ${formatDuration(rule.keepFiringFor)} ` : ''}
        <LabelList labels={rule.labels ?? {}} />
      </p>
      {rule.lastError && <p class="notice error">{rule.lastError}</p>}
      {alerts.length > 0 && <AlertRows alerts={alerts} />}
    </details>
  )
}

const states = [
  { id: 'all', label: 'all' },
  { id: 'active', label: 'active' },
  { id: 'firing', label: 'firing' },
  { id: 'pending', label: 'pending' },
  { id: 'inactive', label: 'inactive' },
  { id: 'err', label: 'failing' },
]

/** Prometheus' page names each state that is shown. */
function stateOf(values: URLSearchParams): string {
  const wanted = values.getAll('state').filter(s => states.some(t => t.id === s))
  if (wanted.length === 2 && !wanted.includes('inactive')) return 'active'
  return wanted.length === 1 ? wanted[0]! : 'all'
}

export function AlertsPage() {
  const [text, setText] = useArgument('search')
  const [, setState] = useArgument('state')
  const state = stateOf(usePlace().values)
  return (
    <>
      <Title text="Alerts">
        <Search label="Filter" value={text} onChange={setText} />
        <Pick label="State" choices={states} value={state} onChange={s => setState(s === 'all' ? '' : s)} />
      </Title>
      <Alertmanagers />
      <Shown<{ groups: Group[] }> path="api/v1/rules" values={{ type: 'alert' }}>
        {data => {
          const rows = data.groups
            .flatMap(group => group.rules.map(rule => ({ rule, group })))
            .filter(r => state === 'all' || (state === 'err' ? r.rule.health === 'err' : state === 'inactive' ? r.rule.state === 'inactive' : r.rule.alerts?.some(a => state === 'active' || a.state === state)))
            .filter(r => matches(text, r.rule.name, r.group.name, r.rule.query, JSON.stringify(r.rule.alerts ?? [])))
            .sort((a, b) => order[a.rule.state ?? 'unknown'] - order[b.rule.state ?? 'unknown'])
          const active = rows.reduce((n, r) => n + (r.rule.alerts?.length ?? 0), 0)
          return (
            <>
              <p class="costs">
                {numbered(rows.length, 'rule')}, {numbered(active, 'active alert')}{active > 0 && `: ${countsOf(rows.flatMap(r => r.rule.alerts ?? []))}`}
              </p>
              {rows.length === 0 && <p class="empty">{text === '' && state === 'all' ? 'No alerting rules are loaded.' : 'No rule matches.'}</p>}
              {rows.map(r => (
                <AlertingRule key={`${r.group.file} ${r.group.name} ${r.rule.name} ${r.rule.query}`} {...r} />
              ))}
            </>
          )
        }}
      </Shown>
    </>
  )
}
