// editor.tsx - the field for an expression. A plain text area works until the editor has arrived.

import { useEffect, useRef, useState } from 'preact/hooks'
import type { Editor } from '../editor/editor'

/** Finds the place that an error of the server names, `1:5: parse error: ...`, as an offset. */
export function placeOfError(message: string, text: string): { from: number; to: number } | null {
  const m = /(?:^|[^\d:])(\d+):(\d+): parse error/.exec(message)
  if (m === null) return null
  const rows = text.split('\n')
  const row = Number(m[1]) - 1
  if (row >= rows.length) return null
  const from = rows.slice(0, row).reduce((sum, r) => sum + r.length + 1, 0) + Number(m[2]) - 1
  // At the end of the text its last character is marked.
  const begin = Math.max(0, Math.min(from, text.length - 1))
  const word = /^[\w:.]+|^\S/.exec(text.slice(begin))
  return { from: begin, to: Math.min(begin + (word?.[0].length ?? 1), text.length) }
}

export function ExpressionField(props: {
  /** The text to begin with; another object replaces what was typed. */
  given: { text: string }
  label: string
  error: string | null
  onChange: (text: string) => void
  onRun: () => void
}) {
  const host = useRef<HTMLDivElement>(null)
  const editor = useRef<Editor | null>(null)
  const text = useRef(props.given.text)
  const latest = useRef(props)
  latest.current = props
  const [isLoaded, setLoaded] = useState(false)

  const typed = (now: string) => {
    text.current = now
    latest.current.onChange(now)
  }
  useEffect(() => {
    let isGone = false
    import('../editor/editor').then(module => {
      if (isGone || host.current === null) return
      editor.current = module.createEditor(host.current, {
        value: text.current,
        label: props.label,
        onChange: typed,
        onRun: () => latest.current.onRun(),
      })
      setLoaded(true)
    }, () => undefined) // The text area stays.
    return () => {
      isGone = true
      editor.current?.destroy()
      editor.current = null
    }
  }, [])
  useEffect(() => {
    text.current = props.given.text
    editor.current?.setValue(text.current)
  }, [props.given])
  useEffect(() => {
    const place = props.error === null ? null : placeOfError(props.error, text.current)
    editor.current?.setError(place === null ? null : { ...place, message: props.error! })
  }, [props.error, isLoaded])

  return (
    <div class="expression">
      <div ref={host} hidden={!isLoaded} />
      {!isLoaded && (
        <textarea
          aria-label={props.label}
          rows={1}
          spellcheck={false}
          value={props.given.text}
          onInput={e => typed(e.currentTarget.value)}
          onKeyDown={e => {
            if (e.key !== 'Enter' || e.shiftKey) return
            e.preventDefault()
            props.onRun()
          }}
        />
      )}
    </div>
  )
}
