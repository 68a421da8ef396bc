// config_check.tsx - checks a pasted configuration, and shows what it would change.

import { useState } from 'preact/hooks'
import { sendText } from '../lib/api'
import { useLoad } from '../ui/load'
import { numbered } from '../ui/page'
import { Failure, Notice } from '../ui/parts'

interface Problem {
  line: number
  column: number
  message: string
}

interface Change {
  key: string
  old?: string
  new?: string
  needsRestart: boolean
}

interface Checked {
  valid: boolean
  errors: Problem[]
  errorsLeftOff: number
  changes?: Change[]
  changesLeftOff?: number
  needsRestart?: boolean
}

function Changes(props: { checked: Checked }) {
  const changes = props.checked.changes ?? []
  if (changes.length === 0) return <Notice kind="info">Valid. Nothing would change.</Notice>
  const all = numbered(changes.length + (props.checked.changesLeftOff ?? 0), 'change')
  return (
    <>
      <Notice kind={props.checked.needsRestart ? 'warning' : 'info'}>
        {`Valid, with ${all}. `}
        {props.checked.needsRestart ? 'Some need a restart: until then a reload is refused.' : 'A reload is enough.'}
      </Notice>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              {['Key', 'Now', 'Then', 'Takes effect'].map(n => (
                <th scope="col">{n}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {changes.map(c => (
              <tr>
                <th scope="row">
                  <code>{c.key}</code>
                </th>
                <td>{c.old === undefined ? 'not there' : <code>{c.old}</code>}</td>
                <td>{c.new === undefined ? 'not there' : <code>{c.new}</code>}</td>
                <td>{c.needsRestart ? 'restart' : 'reload'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}

export function ConfigCheck() {
  const [text, setText] = useState('')
  const [load, send] = useLoad<Checked>()
  const check = () => send(async signal => (await sendText<Checked>('api/v1/status/config/check', text, 'application/yaml', signal)).data)
  const d = load.value
  return (
    <section aria-label="Check a configuration" aria-busy={load.isLoading}>
      <h2>Check a configuration</h2>
      <label class="field">
        <span>Text of a file</span>
        <textarea rows={8} cols={60} spellcheck={false} value={text} onInput={e => setText(e.currentTarget.value)} />
      </label>
      <p>
        <button type="button" class="primary" onClick={check}>
          Check
        </button>
      </p>
      {load.error !== null && <Failure error={load.error} />}
      {d?.valid === true && <Changes checked={d} />}
      {d?.valid === false && (
        <Notice kind="error">
          <ul>
            {d.errors.map(e => (
              <li>
                {e.line > 0 && `Line ${e.line}, column ${e.column}: `}
                {e.message}
              </li>
            ))}
          </ul>
          {d.errorsLeftOff > 0 && `${d.errorsLeftOff} more`}
        </Notice>
      )}
    </section>
  )
}
