// test.tsx - a test of a destination.

import { useState } from 'preact/hooks'
import { command } from '../lib/api'
import { useLoad } from '../ui/load'
import { Check, Failure, Notice } from '../ui/parts'

interface Findings {
  ok: boolean
  findings: { what: string; ok: boolean; reason: string; said: string; advice: string }[]
}

export function Test(props: { name: string }) {
  const [load, send] = useLoad<Findings>()
  const [isWritten, setWritten] = useState(false)
  const path = `api/v1/admin/destination_test/${encodeURIComponent(props.name)}`
  return (
    <section class="card" aria-label={`Test of ${props.name}`} aria-busy={load.isLoading}>
      <span class="row">
        <button type="button" disabled={load.isLoading} onClick={() => send(() => command<Findings>(path, { write: isWritten ? 'true' : undefined }))}>
          {load.isLoading ? 'Testing…' : 'Run the test'}
        </button>
        <Check label="and send one sample" value={isWritten} onChange={setWritten} />
      </span>
      {load.error !== null && <Failure error={load.error} />}
      {load.value !== null && load.error === null && (
        <>
          <ul class="findings">
            {load.value.findings.map(f => (
              <li>
                <span class={`state ${f.ok ? 'ok' : 'err'}`}>{f.ok ? 'ok' : 'failed'}</span> <b>{f.what}</b> {f.said !== '' ? f.said : f.reason}
                {f.advice !== '' && (
                  <>
                    <br />→ {f.advice}
                  </>
                )}
              </li>
            ))}
          </ul>
          <Notice kind={load.value.ok ? 'info' : 'error'}>{load.value.ok ? 'Everything works.' : 'Checks that depend on a failed one were left out.'}</Notice>
        </>
      )}
    </section>
  )
}
