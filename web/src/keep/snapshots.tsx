// snapshots.tsx - lists, makes and deletes snapshots.

import { useState } from 'preact/hooks'
import { post } from '../lib/api'
import { bytes, count } from '../lib/format'
import { Ago } from '../rules/parts'
import { Confirm, Shown } from '../ui/page'
import { Failure } from '../ui/parts'

interface Snapshot {
  name: string
  time: string
  parts: number
  bytes: number
  heldBytes: number
}

const path = 'api/v1/admin/tsdb/snapshot'

export function Snapshots() {
  const [error, setError] = useState<Error | null>(null)
  const [isBusy, setBusy] = useState(false)
  const act = async (request: Promise<void>, reload: () => void) => {
    setBusy(true)
    setError(null)
    await request.then(reload, setError)
    setBusy(false)
  }
  return (
    <section aria-label="Snapshots" aria-busy={isBusy}>
      <h2>Snapshots</h2>
      {error !== null && <Failure error={error} />}
      <Shown<Snapshot[]> path={`${path}s`} refresh={0}>
        {(list, reload) => (
          <>
            <p>
              <button type="button" disabled={isBusy} onClick={() => act(post(path), reload)}>
                Make a snapshot
              </button>
            </p>
            {list.length === 0 && <p class="empty">There are no snapshots.</p>}
            {list.length > 0 && (
              <table>
                <thead>
                  <tr>
                    <th scope="col">Name</th>
                    <th scope="col">Made</th>
                    <th scope="col" class="number">
                      Parts
                    </th>
                    <th scope="col" class="number">
                      Size
                    </th>
                    <th scope="col" class="number">
                      Only in snapshots
                    </th>
                    <th scope="col">Action</th>
                  </tr>
                </thead>
                <tbody>
                  {list.map(s => (
                    <tr key={s.name}>
                      <td>
                        <code>{s.name}</code>
                      </td>
                      <td>
                        <Ago time={s.time} />
                      </td>
                      <td class="number">{count(s.parts)}</td>
                      <td class="number">{bytes(s.bytes)}</td>
                      <td class="number">{bytes(s.heldBytes)}</td>
                      <td>
                        <Confirm
                          label="Delete"
                          question={`Delete snapshot ${s.name}?`}
                          onConfirm={() => act(post(`${path}s/${encodeURIComponent(s.name)}`, {}, 'DELETE'), reload)}
                        />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </>
        )}
      </Shown>
    </section>
  )
}
