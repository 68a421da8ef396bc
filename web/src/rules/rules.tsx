// rules.tsx - groups of rules, with their evaluations.

import { useState } from 'preact/hooks'
import { duration } from '../lib/format'
import { formatDuration } from '../lib/time'
import { Search, Shown, Title } from '../ui/page'
import { Ago, Expression, LabelList, State } from './parts'
import { matches } from './types'
import type { Group } from './types'

function GroupCard(props: { group: Group }) {
  const g = props.group
  const isSlow = g.evaluationTime > g.interval
  const failing = g.rules.filter(r => r.health === 'err').length
  return (
    <details class="card" open>
      <summary>
        {failing > 0 && <State state="err" />} <b>{g.name}</b>{' '}
        <small>
          {g.file} · every {formatDuration(g.interval)} · last <Ago time={g.lastEvaluation} /> in{' '}
          <span class={isSlow ? 'bad' : ''}>{duration(g.evaluationTime)}</span>
          {g.limit > 0 ? ` · limit ${g.limit}` : ''}
        </small>
      </summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Rule</th>
              <th scope="col">Expression</th>
              <th scope="col">Health</th>
              <th scope="col" class="number">
                Time
              </th>
            </tr>
          </thead>
          <tbody>
            {g.rules.map(r => (
              <tr>
                <td>
                  <b>{r.name}</b>
                  <br />
                  <small>{r.type === 'alerting' ? `alert${r.duration ? ` for ${formatDuration(r.duration)}` : ''}` : 'record'}</small>{' '}
                  <LabelList labels={r.labels ?? {}} />
                </td>
                <td>
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

export function RulesPage() {
  const [text, setText] = useState('')
  return (
    <>
      <Title text="Rules">
        <Search label="Filter" value={text} onChange={setText} />
      </Title>
      <Shown<{ groups: Group[] }> path="api/v1/rules" values={{ exclude_alerts: 'true' }}>
        {data => {
          const groups = data.groups
            .map(g => (matches(text, g.name, g.file) ? g : { ...g, rules: g.rules.filter(r => matches(text, g.name, r.name, r.query)) }))
            .filter(g => g.rules.length > 0)
          return (
            <>
              {groups.length === 0 && <p class="empty">{text === '' ? 'No rules are loaded.' : 'No rule matches.'}</p>}
              {groups.slice(0, groupsShown).map(g => (
                <GroupCard key={`${g.file} ${g.name}`} group={g} />
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
