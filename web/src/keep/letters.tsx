// letters.tsx - what a destination refused: by reason, with samples; all of it to be sent again or
// dropped.

import { useState } from 'preact/hooks'
import { command, get } from '../lib/api'
import { count } from '../lib/format'
import { formatTime } from '../lib/time'
import { Ago } from '../rules/parts'
import { useLoad, useRepeat } from '../ui/load'
import { Confirm, numbered } from '../ui/page'
import { Failure, Notice } from '../ui/parts'
import { useSettings } from '../ui/settings'

interface Letters {
  reasons: {
    reason: string
    kept: number
    replaying: number
    first: string
    last: string
    answer: string
    samples: { tenant: string; kind: string; series: string; time?: string; value?: string; answer: string }[]
  }[]
  others: number
  lost: number
  damage: string
}

type Reason = Letters['reasons'][number]

function ReasonView(props: { reason: Reason }) {
  const { reason: r } = props
  const [{ zone }] = useSettings()
  return (
    <section class="card" aria-label={r.reason}>
      <header class="title">
        <span>
          <b>{r.reason}</b>{' '}
          <small>
            {count(r.kept)} kept{r.replaying > 0 ? `, ${count(r.replaying)} being sent again` : ''} · first <Ago time={r.first} />, last <Ago time={r.last} />
          </small>
        </span>
      </header>
      {r.answer !== '' && <p class="notice">{r.answer}</p>}
      <ul class="samples">
        {r.samples.map(s => (
          <li>
            <code>{s.series}</code> {s.value} <time>{s.time === undefined ? s.kind : formatTime(Date.parse(s.time) / 1000, zone)}</time>
          </li>
        ))}
      </ul>
    </section>
  )
}

export function DeadLetters(props: { name: string }) {
  const path = `api/v1/admin/dead_letters/${encodeURIComponent(props.name)}`
  const [load, send] = useLoad<Letters>()
  const [done, setDone] = useState('')
  const [error, setError] = useState<Error | null>(null)
  const reload = () => send(async signal => (await get<Letters>(path, {}, signal)).data)
  useRepeat(reload, 15, [path])
  const act = (action: 'replay' | 'drop') =>
    command<{ letters: number }>(path, { action }).then(({ letters }) => {
      setError(null)
      setDone(`${numbered(letters, 'dead letter')} ${letters === 1 ? 'is' : 'are'} ${action === 'drop' ? 'dropped' : 'sent again'}.`)
      reload()
    }, setError)
  const kept = load.value === null ? 0 : load.value.others + load.value.reasons.reduce((sum, r) => sum + r.kept, 0)
  const failed = error ?? load.error
  if (load.value === null && failed === null) return <p class="empty">Reading the dead letters…</p>
  return (
    <>
      {failed !== null && <Failure error={failed} />}
      {done !== '' && <Notice kind="info">{done}</Notice>}
      {load.value !== null && (
        <>
          {load.value.lost > 0 && <Notice kind="error">{load.value.damage}</Notice>}
          {load.value.reasons.length === 0 && <p class="empty">There are no dead letters.</p>}
          {kept > 0 && (
            <p class="row">
              <Confirm label="Send again" question={`Send ${count(kept)} items again?`} onConfirm={() => act('replay')} />
              <Confirm label="Drop" question={`Drop ${count(kept)} items for good?`} onConfirm={() => act('drop')} />
            </p>
          )}
          {load.value.reasons.map(r => (
            <ReasonView key={r.reason} reason={r} />
          ))}
          {load.value.others > 0 && <p class="empty">{count(load.value.others)} more have other reasons.</p>}
        </>
      )}
    </>
  )
}
