// origins.tsx - the store and the sources that have not answered, and why.

import { Failure, Notice } from '../ui/parts'
import type { Metrics } from './metrics'

/** Names the sources without an answer, and why. */
export function Origins(props: { of: Metrics }) {
  const { failures, isMany, waiting } = props.of
  return (
    <>
      {failures.map(f =>
        isMany ? (
          <Notice kind="warning">
            {f.name === '' ? 'Without the store' : `Without the source ${f.name}`}: {f.error.message.replace(`source ${f.name}: `, '')}
          </Notice>
        ) : (
          <Failure error={f.error} />
        ),
      )}
      {waiting.length > 0 && (
        <p class="empty" role="status">
          Waiting for {waiting.join(', ')}…
        </p>
      )}
    </>
  )
}
