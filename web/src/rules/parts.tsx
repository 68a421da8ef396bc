// parts.tsx - labels, states and links of rules and alerts.

import { Link } from '../ui/router'
import type { Labels } from '../lib/format'
import { duration } from '../lib/format'
import { formatTime } from '../lib/time'
import { useSettings } from '../ui/settings'
import { agoOf } from './types'

export function LabelList(props: { labels: Labels; without?: string }) {
  return (
    <span class="labels">
      {Object.entries(props.labels)
        .filter(([n]) => n !== props.without)
        .map(([n, v]) => (
          <code>
            {n}={JSON.stringify(v)}
          </code>
        ))}
    </span>
  )
}

export function State(props: { state: string; colour?: string }) {
  return <span class={`state ${props.colour ?? props.state}`}>{props.state}</span>
}

export function Ago(props: { time: string }) {
  const [{ zone }] = useSettings()
  const ago = agoOf(props.time)
  if (ago === null) return <span>never</span>
  return (
    <time dateTime={props.time} title={formatTime(Date.parse(props.time) / 1000, zone)}>
      {duration(ago < 120 ? Math.round(ago) : ago)} ago
    </time>
  )
}

/** A text; if it is the address of a page, it is a link. */
export function Linked(props: { text: string }) {
  if (!/^https?:\/\/\S+$/.test(props.text)) return <>{props.text}</>
  return (
    <a href={props.text} target="_blank" rel="noopener noreferrer">
      {props.text}
    </a>
  )
}

/** An expression as a link to its graph. */
export function Expression(props: { text: string }) {
  return (
    <Link to="query" values={new URLSearchParams({ 'g0.expr': props.text, 'g0.tab': 'graph' })} class="expr">
      <code>{props.text}</code>
    </Link>
  )
}
