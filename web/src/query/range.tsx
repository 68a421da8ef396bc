// range.tsx - the time that a panel shows: a range up to now, or from one time to another.

import { useState } from 'preact/hooks'
import { formatDuration, formatTime, parseDuration, parseTime } from '../lib/time'
import type { Zone } from '../lib/time'
import { Field } from '../ui/parts'
import { Menu } from '../ui/menu'
import type { Panel } from './panels'

const ranges = [300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000]
const leastRange = 1

type Change = (change: Partial<Panel>) => void

function Absolute(props: { panel: Panel; zone: Zone; onChange: Change; onDone: () => void }) {
  const { panel, zone } = props
  const end = panel.end ?? Date.now() / 1000
  const [from, setFrom] = useState(formatTime(Math.round(end - panel.range), zone))
  const [to, setTo] = useState(panel.end === null ? 'now' : formatTime(panel.end, zone))
  const first = parseTime(from, zone)
  const last = parseTime(to, zone)
  const input = (label: string, value: string, isWrong: boolean, set: (text: string) => void) => (
    <label class="field">
      <span>{label}</span>
      <input type="text" size={19} value={value} spellcheck={false} aria-invalid={isWrong} onInput={e => set(e.currentTarget.value)} />
    </label>
  )
  return (
    <form
      class="absolute"
      onSubmit={e => {
        e.preventDefault()
        if (!(last - first >= leastRange)) return
        props.onChange({ range: last - first, end: to.trim() === 'now' ? null : last })
        props.onDone()
      }}
    >
      {input('From', from, Number.isNaN(first), setFrom)}
      {input('To', to, Number.isNaN(last) || last <= first, setTo)}
      <button type="submit" class="primary">
        Show
      </button>
      <small>YYYY-MM-DD HH:MM:SS, Unix seconds, now, now-1h; {zone === 'local' ? 'local time' : zone}</small>
    </form>
  )
}

/** Buttons and fields that choose the range of a graph. */
export function RangePicker(props: { panel: Panel; zone: Zone; onChange: Change }) {
  const { panel, zone, onChange } = props
  const end = () => panel.end ?? Date.now() / 1000
  const label =
    panel.end === null ? `Last ${formatDuration(panel.range)}` : `${formatTime(panel.end - panel.range, zone)} – ${formatTime(panel.end, zone)}`
  return (
    <span class="range" role="group" aria-label="Time range">
      <button type="button" aria-label="Earlier" title="Earlier" onClick={() => onChange({ end: end() - panel.range / 2 })}>
        ◀
      </button>
      <Menu label={label} name={`Time range: ${label}`}>
        {close => (
          <>
            <div class="presets" role="group" aria-label="Up to now">
              {ranges.map(r => (
                <button
                  type="button"
                  aria-pressed={panel.end === null && panel.range === r}
                  onClick={() => {
                    onChange({ range: r, end: null })
                    close()
                  }}
                >
                  {formatDuration(r)}
                </button>
              ))}
            </div>
            <Field
              label="Range"
              size={8}
              value={formatDuration(panel.range)}
              wrong={t => !(parseDuration(t) >= leastRange)}
              onChange={t => onChange({ range: parseDuration(t) })}
            />
            <Absolute panel={panel} zone={zone} onChange={onChange} onDone={close} />
          </>
        )}
      </Menu>
      <button type="button" aria-label="Later" title="Later" onClick={() => onChange({ end: end() + panel.range / 2 })}>
        ▶
      </button>
      <button type="button" aria-label="Shorter range" title="Shorter range" onClick={() => onChange(zoomed(panel, 0.5))}>
        +
      </button>
      <button type="button" aria-label="Longer range" title="Longer range" onClick={() => onChange(zoomed(panel, 2))}>
        −
      </button>
      {panel.end !== null && (
        <button type="button" onClick={() => onChange({ end: null })}>
          Now
        </button>
      )}
    </span>
  )
}

/** Scales the range around its middle; a range up to now keeps its end. */
export function zoomed(panel: Panel, factor: number): Partial<Panel> {
  const range = Math.max(leastRange, panel.range * factor)
  return { range, end: panel.end === null ? null : panel.end + (range - panel.range) / 2 }
}

/** The one time of a table. */
export function MomentPicker(props: { panel: Panel; zone: Zone; onChange: Change }) {
  const { panel, zone, onChange } = props
  const move = (by: number) => onChange({ end: (panel.end ?? Date.now() / 1000) + by })
  return (
    <span class="range" role="group" aria-label="Time">
      <button type="button" aria-label="Earlier" onClick={() => move(-panel.range / 2)}>
        ◀
      </button>
      <Field
        label="Time"
        size={19}
        placeholder="now"
        value={panel.end === null ? '' : formatTime(panel.end, zone)}
        wrong={t => t !== '' && Number.isNaN(parseTime(t, zone))}
        onChange={t => onChange({ end: t === '' || t.trim() === 'now' ? null : parseTime(t, zone) })}
      />
      <button type="button" aria-label="Later" onClick={() => move(panel.range / 2)}>
        ▶
      </button>
      {panel.end !== null && (
        <button type="button" onClick={() => onChange({ end: null })}>
          Now
        </button>
      )}
    </span>
  )
}
