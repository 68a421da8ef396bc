// parts.tsx - the small parts that all pages are made of.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from '../lib/api'

export function Notice(props: { kind: 'error' | 'warning' | 'info'; children: ComponentChildren }) {
  return (
    <div class={`notice ${props.kind}`} role={props.kind === 'error' ? 'alert' : 'status'}>
      {props.children}
    </div>
  )
}

/** Shows why a request failed. */
export function Failure(props: { error: Error }) {
  const e = props.error
  const status = e instanceof ApiError && e.status !== 0 ? ` (HTTP ${e.status})` : ''
  return <Notice kind="error">{e.message + status}</Notice>
}

export interface Choice {
  id: string
  label: string
}

/** A row of choices, of which one is in force: arrow keys move between them. */
export function Tabs(props: { label: string; choices: Choice[]; value: string; onChange: (id: string) => void }) {
  const list = useRef<HTMLDivElement>(null)
  const onKey = (event: KeyboardEvent) => {
    const count = props.choices.length
    const at = props.choices.findIndex(c => c.id === props.value)
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: count - 1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    const next = (to + count) % count
    props.onChange(props.choices[next]!.id)
    ;(list.current?.children[next] as HTMLElement | undefined)?.focus()
  }
  return (
    <div class="tabs" role="tablist" aria-label={props.label} ref={list} onKeyDown={onKey}>
      {props.choices.map(c => (
        <button
          key={c.id}
          type="button"
          role="tab"
          aria-selected={c.id === props.value}
          tabIndex={c.id === props.value ? 0 : -1}
          onClick={() => props.onChange(c.id)}
        >
          {c.label}
        </button>
      ))}
    </div>
  )
}

/** A text that takes effect with Enter or when the focus leaves it. `wrong` marks it as invalid. */
export function Field(props: {
  label: string
  value: string
  placeholder?: string
  size?: number
  wrong?: (text: string) => boolean
  onChange: (text: string) => void
}) {
  const [text, setText] = useState(props.value)
  useEffect(() => setText(props.value), [props.value])
  const isWrong = props.wrong?.(text) ?? false
  const commit = () => {
    if (!isWrong && text !== props.value) props.onChange(text)
  }
  return (
    <label class="field">
      <span>{props.label}</span>
      <input
        type="text"
        value={text}
        size={props.size ?? 8}
        placeholder={props.placeholder}
        aria-invalid={isWrong}
        spellcheck={false}
        onInput={e => setText(e.currentTarget.value)}
        onBlur={commit}
        onKeyDown={e => e.key === 'Enter' && commit()}
      />
    </label>
  )
}

export function Check(props: { label: string; value: boolean; onChange: (value: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={props.value} onChange={e => props.onChange(e.currentTarget.checked)} />
      <span>{props.label}</span>
    </label>
  )
}

export function Pick(props: { label: string; value: string; choices: Choice[]; onChange: (id: string) => void }) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <select value={props.value} onChange={e => props.onChange(e.currentTarget.value)}>
        {props.choices.map(c => (
          <option key={c.id} value={c.id}>
            {c.label}
          </option>
        ))}
      </select>
    </label>
  )
}

/** Lets the user choose a file, which stays in the browser. */
export function FileButton(props: { label: string; onFile: (file: File) => void }) {
  const choose = (input: HTMLInputElement) => {
    const file = input.files?.[0]
    input.value = ''
    if (file !== undefined) props.onFile(file)
  }
  return (
    <label class="button">
      {props.label}
      <input type="file" accept=".json,application/json" onChange={e => choose(e.currentTarget)} />
    </label>
  )
}
