// range.tsx - the time that pages with graphs show, and how often they ask again: a range up to now, or
// from one time to another. The address has it; a page that is opened without takes that of the page
// before.

import { useState } from 'preact/hooks'
import { serverNow } from '../lib/clock'
import { formatDuration, formatTime, parseDuration, parseTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { Menu } from './menu'
import { Field, Pick } from './parts'
import { useSettings } from './settings'

export interface Span {
  seconds: number
  /** Null: now. */
  end: number | null
}

export interface Range extends Span {
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

const lengths = ['5m', '15m', '30m', '1h', '3h', '6h', '12h', '1d', '2d', '7d', '14d', '30d', '90d', '1y'].map(parseDuration)
const refreshes = [0, 5, 15, 30, 60, 300]
const leastSeconds = 1

type Change = (change: Partial<Span>) => void

/** Opens the calendar of the browser; what is chosen there is a text as formatTime() writes it. */
function Calendar(props: { label: string; value: number; zone: Zone; onChange: (text: string) => void }) {
  const { value, zone } = props
  return (
    <input
      type="datetime-local"
      class="calendar"
      step={1}
      aria-label={`${props.label}, calendar`}
      title="Calendar"
      value={Number.isNaN(value) ? '' : formatTime(Math.floor(value), zone).replace(' ', 'T')}
      onChange={e => e.currentTarget.value !== '' && props.onChange(e.currentTarget.value.replace('T', ' '))}
    />
  )
}

function Absolute(props: { span: Span; zone: Zone; onChange: Change; onDone: () => void }) {
  const { span, zone } = props
  const end = span.end ?? serverNow()
  const [from, setFrom] = useState(formatTime(Math.round(end - span.seconds), zone))
  const [to, setTo] = useState(span.end === null ? 'now' : formatTime(span.end, zone))
  const first = parseTime(from, zone)
  const last = parseTime(to, zone)
  const input = (label: string, value: string, time: number, isWrong: boolean, set: (text: string) => void) => (
    <span>
      <label class="field">
        <span>{label}</span>
        <input type="text" size={19} value={value} spellcheck={false} aria-invalid={isWrong} onInput={e => set(e.currentTarget.value)} />
      </label>
      <Calendar label={label} value={time} zone={zone} onChange={set} />
    </span>
  )
  return (
    <form
      class="absolute"
      onSubmit={e => {
        e.preventDefault()
        if (!(last - first >= leastSeconds)) return
        props.onChange({ seconds: last - first, end: to.trim() === 'now' ? null : last })
        props.onDone()
      }}
    >
      {input('From', from, first, Number.isNaN(first), setFrom)}
      {input('To', to, last, Number.isNaN(last) || last <= first, setTo)}
      <button type="submit" class="primary">
        Show
      </button>
      <small>YYYY-MM-DD HH:MM:SS, Unix seconds, now, now-1h; {zone === 'local' ? 'local time' : zone}</small>
    </form>
  )
}

/** Buttons and fields that choose the range of graphs. */
export function RangePicker(props: { span: Span; onChange: Change }) {
  const { span, onChange } = props
  const [{ zone }] = useSettings()
  const end = () => span.end ?? serverNow()
  const label =
    span.end === null ? `Last ${formatDuration(span.seconds)}` : `${formatTime(span.end - span.seconds, zone)} – ${formatTime(span.end, zone)}`
  return (
    <span class="range" role="group" aria-label="Time range">
      <button type="button" aria-label="Earlier" title="Earlier" onClick={() => onChange({ end: end() - span.seconds / 2 })}>
        ◀
      </button>
      <Menu label={label} name={`Time range: ${label}`}>
        {close => (
          <>
            <div class="presets" role="group" aria-label="Up to now">
              {lengths.map(seconds => (
                <button
                  type="button"
                  aria-pressed={span.end === null && span.seconds === seconds}
                  onClick={() => {
                    onChange({ seconds, end: null })
                    close()
                  }}
                >
                  {formatDuration(seconds)}
                </button>
              ))}
            </div>
            <Field
              label="Range"
              size={8}
              value={formatDuration(span.seconds)}
              wrong={t => !(parseDuration(t) >= leastSeconds)}
              onChange={t => onChange({ seconds: parseDuration(t) })}
            />
            <Absolute span={span} zone={zone} onChange={onChange} onDone={close} />
          </>
        )}
      </Menu>
      <button type="button" aria-label="Later" title="Later" onClick={() => onChange({ end: end() + span.seconds / 2 })}>
        ▶
      </button>
      <button type="button" aria-label="Shorter range" title="Shorter range" onClick={() => onChange(zoomed(span, 0.5))}>
        +
      </button>
      <button type="button" aria-label="Longer range" title="Longer range" onClick={() => onChange(zoomed(span, 2))}>
        −
      </button>
      {span.end !== null && <Now onChange={onChange} />}
    </span>
  )
}

function Now(props: { onChange: Change }) {
  return (
    <button type="button" onClick={() => props.onChange({ end: null })}>
      Now
    </button>
  )
}

/** Scales the range around its middle; a range up to now keeps its end. */
export function zoomed(span: Span, factor: number): Span {
  const seconds = Math.max(leastSeconds, span.seconds * factor)
  return { seconds, end: span.end === null ? null : span.end + (seconds - span.seconds) / 2 }
}

/** The one time of a table. */
export function MomentPicker(props: { span: Span; onChange: Change }) {
  const { span, onChange } = props
  const [{ zone }] = useSettings()
  const move = (by: number) => onChange({ end: (span.end ?? serverNow()) + by })
  const set = (text: string) => onChange({ end: text === '' || text.trim() === 'now' ? null : parseTime(text, zone) })
  return (
    <span class="range" role="group" aria-label="Time">
      <button type="button" aria-label="Earlier" onClick={() => move(-span.seconds / 2)}>
        ◀
      </button>
      <Field
        label="Time"
        size={19}
        placeholder="now"
        value={span.end === null ? '' : formatTime(span.end, zone)}
        wrong={t => t !== '' && Number.isNaN(parseTime(t, zone))}
        onChange={set}
      />
      <Calendar label="Time" value={span.end ?? NaN} zone={zone} onChange={set} />
      <button type="button" aria-label="Later" onClick={() => move(span.seconds / 2)}>
        ▶
      </button>
      {span.end !== null && <Now onChange={onChange} />}
    </span>
  )
}

/** How often a page asks again. */
export function RefreshPick(props: { value: number; onChange: (seconds: number) => void }) {
  const { value } = props
  const all = refreshes.includes(value) ? refreshes : [...refreshes, value].sort((a, b) => a - b)
  const choices = all.map(s => ({ id: String(s), label: s === 0 ? 'off' : formatDuration(s) }))
  return <Pick label="Refresh" choices={choices} value={String(value)} onChange={s => props.onChange(Number(s))} />
}
