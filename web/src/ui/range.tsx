// range.tsx - the time range and the refresh of pages with graphs. The address has them; a page that
// is opened without takes those of the page before.

import { formatDuration, formatTime, parseDuration, parseTime } from '../lib/time'
import { Field, Pick } from './parts'
import { useSettings } from './settings'

export interface Range {
  seconds: number
  /** Null: now. */
  end: number | null
  /** Seconds between two refreshes; 0: none. */
  refresh: number
}

let last: Range | null = null

/** Reads the range of an address. */
export function rangeOf(values: URLSearchParams, otherwise: Range): Range {
  const before = last ?? otherwise
  const seconds = parseDuration(values.get('range_input') ?? '')
  const end = parseTime(values.get('end_input') ?? '', 'UTC')
  const refresh = parseDuration(values.get('refresh') ?? '')
  const isGiven = seconds > 0
  last = {
    seconds: isGiven ? seconds : before.seconds,
    end: Number.isNaN(end) ? (isGiven ? null : before.end) : end,
    refresh: refresh >= 0 ? refresh : before.refresh,
  }
  return last
}

/** Writes the range into an address. */
export function writeRange(values: URLSearchParams, range: Range): void {
  values.set('range_input', formatDuration(range.seconds))
  if (range.end === null) values.delete('end_input')
  else values.set('end_input', formatTime(range.end, 'UTC'))
  values.set('refresh', formatDuration(range.refresh))
}

const lengths = ['5m', '15m', '1h', '3h', '6h', '12h', '1d', '2d', '7d', '30d', '90d']
const refreshes = [0, 5, 15, 30, 60, 300]

function pickable(all: number[], value: number, nothing: string) {
  const list = all.includes(value) ? all : [...all, value].sort((a, b) => a - b)
  return list.map(s => ({ id: String(s), label: s === 0 ? nothing : formatDuration(s) }))
}

export function RangeControls(props: { range: Range; onChange: (change: Partial<Range>) => void }) {
  const { range, onChange } = props
  const [{ zone }] = useSettings()
  const move = (by: number) => onChange({ end: (range.end ?? Date.now() / 1000) + by })
  return (
    <>
      <Pick
        label="Range"
        choices={pickable(lengths.map(parseDuration), range.seconds, '')}
        value={String(range.seconds)}
        onChange={s => onChange({ seconds: Number(s) })}
      />
      <button type="button" aria-label="Earlier" onClick={() => move(-range.seconds / 2)}>
        ◀
      </button>
      <Field
        label="End"
        size={17}
        placeholder="now"
        value={range.end === null ? '' : formatTime(range.end, zone)}
        wrong={t => t !== '' && Number.isNaN(parseTime(t, zone))}
        onChange={t => onChange({ end: t === '' || t.trim() === 'now' ? null : parseTime(t, zone) })}
      />
      <button type="button" aria-label="Later" onClick={() => move(range.seconds / 2)}>
        ▶
      </button>
      {range.end !== null && (
        <button type="button" onClick={() => onChange({ end: null })}>
          Now
        </button>
      )}
      <Pick
        label="Refresh"
        choices={pickable(refreshes, range.refresh, 'off')}
        value={String(range.refresh)}
        onChange={r => onChange({ refresh: Number(r) })}
      />
    </>
  )
}
