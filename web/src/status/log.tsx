// log.tsx - the last lines of the server's log.

import { useState } from 'preact/hooks'
import { Shown } from '../ui/page'
import { Pick } from '../ui/parts'

interface Line {
  number: number
  time: string
  level: string
  line: string
}

const levels = ['debug', 'info', 'warn', 'error'].map(id => ({ id, label: id }))

export function Log() {
  const [level, setLevel] = useState('info')
  return (
    <section aria-label="Log">
      <h2>Log</h2>
      <Pick label="From level" choices={levels} value={level} onChange={setLevel} />
      <Shown<{ leftOff: number; lines: Line[] }> path="api/v1/status/log" values={{ level, limit: '200' }} refresh={5}>
        {d =>
          d.lines.length === 0 ? (
            <p class="empty">No line has this level.</p>
          ) : (
            <pre class="log" tabIndex={0}>
              {[...d.lines].reverse().map(l => (
                <span key={l.number} class={l.level}>
                  {l.line}
                </span>
              ))}
            </pre>
          )
        }
      </Shown>
    </section>
  )
}
