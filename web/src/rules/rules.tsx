// rules.tsx - groups of rules, with their evaluations.

import { count, duration } from '../lib/format'
import { formatDuration } from '../lib/time'
import type { Families } from '../lib/metrics'
import { useMetrics } from '../ui/metrics'
import { Search, Shown, Title, numbered } from '../ui/page'
import { Pick } from '../ui/parts'
import { useArgument, usePlace } from '../ui/router'
import { useMay } from '../ui/session'
import { CatchUp, missedOf } from './catchup'
import { Ago, Expression, LabelList, State } from './parts'
import { matches } from './types'
import type { Group } from './types'

function GroupCard(props: { group: Group; metrics: Families | null }) {
  const g = props.group
  const missed = missedOf(props.metrics, g.file, g.name)
  const isSlow = g.evaluationTime > g.interval
  const failing = g.rules.filter(r => r.health === 'err').length
  return (
    <details class="card" open>
      <summary>
        {failing > 0 && <State state="err" />} <b>{g.name}</b>{' '}
        <small>
          {g.file} · every {formatDuration(g.interval)} · last <Ago time={g.lastEvaluation} /> in{' '}
          <span class={isSlow ? 'bad' : ''}>{duration(g.evaluationTime)}</span>
          {isSlow && <b class="bad"> (longer than the interval)</b>}
          {missed > 0 && <span class="bad"> · {numbered(missed, 'evaluation')} missed</span>}
          {g.limit > 0 ? ` · limit ${g.limit}` : ''}
        </small>
      </summary>
      <div class="scroll">
        <table class="stack">
          <thead>
            <tr>
              <th scope="col">Rule</th>
              <th scope="col">Expression</th>
              <th scope="col">Health</th>
              <th scope="col" class="number">
                Duration
              </th>
            </tr>
          </thead>
          <tbody>
            {g.rules.map(r => (
              <tr>
                <td class="wide">
                  <b>{r.name}</b>
                  <br />
                  <small>{r.type === 'alerting' ? `alert${r.duration ? ` for ${formatDuration(r.duration)}` : ''}` : 'record'}</small>{' '}
                  <LabelList labels={r.labels ?? {}} />
                </td>
                <td class="wide">
                  <Expression text={r.query} />
                  {r.lastError && <p class="notice error">{r.lastError}</p>}
                </td>
                <td>
                  <State state={r.health} />
                </td>
                <td class="number">{duration(r.evaluationTime)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  )
}

const groupsShown = 100

const choices = [
  { id: 'all', label: 'all' },
  { id: 'failing', label: 'with rules that fail' },
  { id: 'slow', label: 'that are late' },
]

export function RulesPage() {
  const [text, setText] = useArgument('search')
  const [given, setWhich] = useArgument('show')
  // Prometheus' page has health=err.
  const isErr = usePlace().values.getAll('health').join() === 'err'
  const which = given !== '' ? given : isErr ? 'failing' : 'all'
  const metrics = useMetrics(15, useMay('metrics')).value?.now ?? null
  const isWanted = (g: Group) =>
    which === 'all' || (which === 'failing' ? g.rules.some(r => r.health === 'err') : g.evaluationTime > g.interval || missedOf(metrics, g.file, g.name) > 0)
  return (
    <>
      <Title text="Rules">
        <Pick label="Groups" choices={choices} value={which} onChange={setWhich} />
        <Search label="Filter" value={text} onChange={setText} />
      </Title>
      {metrics !== null && <CatchUp metrics={metrics} />}
      <Shown<{ groups: Group[] }> path="api/v1/rules" values={{ exclude_alerts: 'true' }}>
        {data => {
          const groups = data.groups
            .map(g => (matches(text, g.name, g.file) ? g : { ...g, rules: g.rules.filter(r => matches(text, g.name, r.name, r.query)) }))
            .filter(g => g.rules.length > 0 && isWanted(g))
          return (
            <>
              <p class="costs">
                {numbered(groups.length, 'group')}, {numbered(groups.reduce((n, g) => n + g.rules.length, 0), 'rule')},{' '}
                {count(groups.reduce((n, g) => n + g.rules.filter(r => r.health === 'err').length, 0))} failing
              </p>
              {groups.length === 0 && <p class="empty">{text === '' && which === 'all' ? 'No rules are loaded.' : 'No rule matches.'}</p>}
              {groups.slice(0, groupsShown).map(g => (
                <GroupCard key={`${g.file} ${g.name}`} group={g} metrics={metrics} />
              ))}
              {groups.length > groupsShown && (
                <p class="empty">
                  {groupsShown} of {groups.length} groups are shown; narrow the list with the filter.
                </p>
              )}
            </>
          )
        }}
      </Shown>
    </>
  )
}
