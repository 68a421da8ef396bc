// earlier.tsx - pages of Prometheus whose subject Firekeep does not have: scrape targets.
// They say so, and show what comes closest.

import { useEffect } from 'preact/hooks'
import { ask } from '../lib/api'
import { count, seriesText } from '../lib/format'
import type { OfSeries } from '../query/result'
import { matches } from '../rules/types'
import { useLoad } from '../ui/load'
import { Search, Title } from '../ui/page'
import { Failure, Pick } from '../ui/parts'
import { Link, useArgument, usePlace } from '../ui/router'

const shownMost = 500
const healths = [
  { id: '', label: 'all' },
  { id: 'up', label: 'up' },
  { id: 'down', label: 'down' },
]

/** The targets that Prometheus servers scrape, by the metric that they write for each. */
export function TargetsPage() {
  const { values } = usePlace()
  const job = values.get('pool') ?? values.get('scrapePool')
  const [text, setText] = useArgument('search')
  const [health, setHealth] = useArgument('health')
  const [load, send] = useLoad<OfSeries>()
  const selector = seriesText(job === null ? { __name__: 'up' } : { __name__: 'up', job })
  useEffect(() => send(async signal => (await ask<OfSeries>('api/v1/query', { query: selector }, signal)).data), [selector])
  const rows = (load.value?.result ?? [])
    .map(s => ({ labels: s.metric, isUp: s.value?.[1] === '1' }))
    .filter(r => health === '' || (health === 'up') === r.isUp)
    .filter(r => matches(text, JSON.stringify(r.labels)))
  const down = rows.filter(r => !r.isUp).length
  return (
    <>
      <Title text="Targets">
        <Search label="Filter" value={text} onChange={setText} />
        <Pick label="Health" choices={healths} value={health} onChange={setHealth} />
      </Title>
      <p>
        Firekeep scrapes only itself: the servers that write to it discover and scrape targets, and have the pages about them. The metric{' '}
        <Link to="query" values={new URLSearchParams({ 'g0.expr': selector, 'g0.tab': 'graph' })}>
          <code>{selector}</code>
        </Link>{' '}
        says which of their targets they reached. Where Firekeep sends and reads samples is on the page{' '}
        <Link to="destinations">Destinations</Link>.
      </p>
      {load.error !== null && <Failure error={load.error} />}
      {load.value?.result.length === 0 && <p class="empty">No samples of this metric were written in the last five minutes.</p>}
      {rows.length > 0 && (
        <>
          <p class="costs">
            {count(rows.length)} targets, {count(down)} down
          </p>
          <div class="scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Health</th>
                  <th scope="col">Job</th>
                  <th scope="col">Instance</th>
                  <th scope="col">Labels</th>
                </tr>
              </thead>
              <tbody>
                {rows
                  .sort((a, b) => Number(a.isUp) - Number(b.isUp))
                  .slice(0, shownMost)
                  .map(r => {
                    const { __name__, job: ofJob, instance, ...others } = r.labels
                    return (
                      <tr>
                        <td>
                          <span class={`state ${r.isUp ? 'ok' : 'err'}`}>{r.isUp ? 'up' : 'down'}</span>
                        </td>
                        <td>{ofJob}</td>
                        <td>
                          <Link to="query" values={new URLSearchParams({ 'g0.expr': seriesText(r.labels), 'g0.tab': 'graph' })}>
                            {instance ?? seriesText(r.labels)}
                          </Link>
                        </td>
                        <td>{Object.keys(others).length > 0 && <code>{seriesText(others)}</code>}</td>
                      </tr>
                    )
                  })}
              </tbody>
            </table>
          </div>
          {rows.length > shownMost && <p class="empty">{shownMost} targets are shown; narrow the list with the filter.</p>}
        </>
      )}
    </>
  )
}
