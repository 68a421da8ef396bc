// deletion.tsx - deletes series, after a preview of what the deletion hides.

import { useState } from 'preact/hooks'
import { command, get, post } from '../lib/api'
import { bytes, count } from '../lib/format'
import { useLoad } from '../ui/load'
import { Confirm, numbered } from '../ui/page'
import { Failure, Field, Notice } from '../ui/parts'
import { usePlace } from '../ui/router'

interface Preview {
  series: number
  samples: number
  partBytes: number
  headBytes: number
  exact: boolean
}

interface Deleted {
  ids: string[]
}

const path = 'api/v1/admin/tsdb/delete_series'

export function Deletion() {
  const [selector, setSelector] = useState(usePlace().values.get('delete') ?? '')
  const [start, setStart] = useState('')
  const [end, setEnd] = useState('')
  const [done, setDone] = useState<Error | string[] | 'undone' | null>(null)
  const [load, send] = useLoad<Preview | null>()
  const values = { 'match[]': selector, start: start || undefined, end: end || undefined }
  /** A preview is about the values that it was made for. */
  const change = (set: (text: string) => void) => (text: string) => {
    set(text)
    setDone(null)
    send(async () => null)
  }
  const preview = () => {
    setDone(null)
    send(async signal => (await get<Preview>(`${path}/preview`, values, signal)).data)
  }
  const remove = () =>
    command<Deleted>(path, values).then(({ ids }) => {
      send(async () => null)
      setDone(ids)
    }, setDone)
  const undo = (ids: string[]) =>
    Promise.all(ids.map(id => post(`api/v1/admin/tsdb/deletions/${id}/undo`, {}))).then(() => setDone('undone'), setDone)
  const p = load.value
  return (
    <section aria-label="Delete series" aria-busy={load.isLoading}>
      <h2>Delete series</h2>
      <div class="row">
        <Field label="Selector" value={selector} placeholder={'up{job="old"}'} size={24} onChange={change(setSelector)} />
        <Field label="From" value={start} placeholder="the first sample" size={22} onChange={change(setStart)} />
        <Field label="To" value={end} placeholder="the last sample" size={22} onChange={change(setEnd)} />
        <button type="button" disabled={selector === ''} onClick={preview}>
          Preview
        </button>
      </div>
      {load.error !== null && <Failure error={load.error} />}
      {done instanceof Error && <Failure error={done} />}
      {done === 'undone' && <Notice kind="info">The samples are visible again.</Notice>}
      {Array.isArray(done) && (
        <Notice kind="info">
          The samples are hidden{done.length > 0 && ` by deletion ${done.join(', ')}`}. Merges remove them from disk when the
          deletion can no longer be undone.{' '}
          {done.length > 0 && (
            <button type="button" onClick={() => undo(done)}>
              Undo
            </button>
          )}
        </Notice>
      )}
      {p !== null && (
        <Notice kind={p.series > 0 ? 'warning' : 'info'}>
          {p.exact ? '' : 'About '}
          {count(p.series)} series, {numbered(p.samples, 'sample')}, {bytes(p.partBytes)} in parts, {bytes(p.headBytes)} in memory.{' '}
          {p.series > 0 && (
            <Confirm label="Delete" question="Delete these samples? This can be undone within delete.hold." onConfirm={remove} />
          )}
        </Notice>
      )}
    </section>
  )
}
