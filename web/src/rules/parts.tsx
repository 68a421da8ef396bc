// parts.tsx - labels, states and links of rules and alerts.

import { Link } from '../ui/router'
import type { Labels } from '../lib/format'
import { duration } from '../lib/format'
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
  const ago = agoOf(props.time)
  return <time dateTime={props.time}>{ago === null ? 'never' : `${duration(ago)} ago`}</time>
}

/** An expression as a link to its graph. */
export function Expression(props: { text: string }) {
  return (
    <Link to="query" values={new URLSearchParams({ 'g0.expr': props.text, 'g0.tab': 'graph' })} class="expr">
      <code>{props.text}</code>
    </Link>
  )
}
