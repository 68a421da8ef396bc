// page.tsx - what all pages that show answers of the API have in common: loading, failure, refresh.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { get } from '../lib/api'
import type { Answer } from '../lib/api'
import { count } from '../lib/format'
import { useLoad, useRepeat } from './load'
import { Failure, Notice } from './parts'

export function Title(props: { text: string; children?: ComponentChildren }) {
  return (
    <header class="title">
      <h1>{props.text}</h1>
      <span class="row">{props.children}</span>
    </header>
  )
}

/** Shows an answer of a route, and asks for it again every `refresh` seconds; 0: never. */
export function Shown<T>(props: {
  path: string
  values?: Record<string, string | undefined>
  refresh?: number
  children: (data: T, reload: () => void) => ComponentChildren
}) {
  const [load, send] = useLoad<Answer<T>>()
  const reload = () => send(signal => get<T>(props.path, props.values ?? {}, signal))
  useRepeat(reload, props.refresh ?? 15, [props.path, JSON.stringify(props.values ?? {})])
  if (load.value === null && load.error === null) return <p class="empty">Loading…</p>
  return (
    <div class="scroll" aria-busy={load.isLoading}>
      {load.error !== null && <Failure error={load.error} />}
      {load.value?.warnings.map(w => <Notice kind="warning">{w}</Notice>)}
      {load.value !== null && props.children(load.value.data, reload)}
    </div>
  )
}

/** Writes a number and its noun: 1 rule, 2 rules. */
export function numbered(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? '' : 's'}`
}

/** A search field that narrows a list while one types. */
export function Search(props: { label: string; value: string; onChange: (text: string) => void }) {
  return (
    <label class="field">
      <span>{props.label}</span>
      <input type="search" size={24} value={props.value} spellcheck={false} onInput={e => props.onChange(e.currentTarget.value)} />
    </label>
  )
}

/** Names and values, one pair in a row. */
export function Facts(props: { rows: [string, ComponentChildren][] }) {
  return (
    <table class="facts">
      <tbody>
        {props.rows.map(([name, value]) => (
          <tr>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** A button that asks once more before it acts. The focus goes to the question, and back. */
export function Confirm(props: { label: string; question: string; onConfirm: () => void }) {
  const [isOpen, setOpen] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const cancel = useRef<HTMLButtonElement>(null)
  const wasOpen = useRef(false)
  useEffect(() => {
    if (isOpen) cancel.current?.focus()
    else if (wasOpen.current) button.current?.focus()
    wasOpen.current = isOpen
  }, [isOpen])
  if (!isOpen) {
    return (
      <button type="button" ref={button} onClick={() => setOpen(true)}>
        {props.label}
      </button>
    )
  }
  return (
    <span class="confirm" role="alertdialog" aria-label={props.question} onKeyDown={e => e.key === 'Escape' && setOpen(false)}>
      {props.question}{' '}
      <button
        type="button"
        class="primary"
        onClick={() => {
          setOpen(false)
          props.onConfirm()
        }}
      >
        {props.label}
      </button>{' '}
      <button type="button" ref={cancel} onClick={() => setOpen(false)}>
        Cancel
      </button>
    </span>
  )
}
