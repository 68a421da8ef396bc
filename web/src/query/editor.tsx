// editor.tsx - the field for an expression. A plain text area works until the editor has arrived.

import { useEffect, useRef, useState } from 'preact/hooks'
import type { Editor } from '../editor/editor'
import { createChecker } from './check'
import type { Checker } from './check'

/** Finds the place that an error of the server names, `1:5: parse error: ...`, as an offset. */
export function placeOfError(message: string, text: string): { from: number; to: number } | null {
  const m = /(?:^|[^\d:])(\d+):(\d+): parse error/.exec(message)
  if (m === null) return null
  const rows = text.split('\n')
  const row = Number(m[1]) - 1
  if (row >= rows.length) return null
  const from = rows.slice(0, row).reduce((sum, r) => sum + r.length + 1, 0) + Number(m[2]) - 1
  // A bracket that is too much is before the place that the error names.
  const bracket = /unexpected right \w+ '(.)'$/.exec(message)?.[1]
  const isBefore = bracket !== undefined && text[from] !== bracket && text[from - 1] === bracket
  // At the end of the text its last character is marked.
  const begin = Math.max(0, Math.min(isBefore ? from - 1 : from, text.length - 1))
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
  /** The server's error of what is being typed. */
  const [found, setFound] = useState<string | null>(null)
  const checker = useRef<Checker | null>(null)

  const mark = (error: string | null) => {
    const place = error === null ? null : placeOfError(error, text.current)
    editor.current?.setError(place === null ? null : { ...place, message: error! })
  }
  const typed = (now: string, isInWord: boolean) => {
    text.current = now
    latest.current.onChange(now)
    setFound(null)
    checker.current?.later(now, isInWord)
  }
  const run = () => {
    checker.current?.stop()
    setFound(null)
    latest.current.onRun()
  }
  useEffect(() => {
    checker.current = createChecker(error => {
      setFound(error)
      mark(error)
    })
    return () => checker.current?.stop()
  }, [])
  useEffect(() => {
    let isGone = false
    import('../editor/editor').then(module => {
      if (isGone || host.current === null) return
      editor.current = module.createEditor(host.current, {
        value: text.current,
        label: props.label,
        onChange: typed,
        onRun: run,
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
    checker.current?.stop()
    setFound(null)
  }, [props.given])
  useEffect(() => mark(props.error), [props.error, isLoaded])

  return (
    <div class="expression">
      <div ref={host} hidden={!isLoaded} />
      <p class="found" role="status">
        {found?.replace('invalid parameter "query": ', '')}
      </p>
      {!isLoaded && (
        <textarea
          aria-label={props.label}
          rows={1}
          spellcheck={false}
          value={props.given.text}
          onInput={e => typed(e.currentTarget.value, true)}
          onKeyDown={e => {
            if (e.key !== 'Enter' || e.shiftKey) return
            e.preventDefault()
            run()
          }}
        />
      )}
    </div>
  )
}
