// load.ts - one request of a component at a time: a newer one ends the older.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { isUnreachable } from '../lib/api'

export interface Load<T> {
  value: T | null
  error: Error | null
  isLoading: boolean
  /** Seconds that the last answer took. */
  seconds: number
}

/**
 * Returns the state of a request, and a function that sends it. The last answer stays until the next
 * one is there, also while the server cannot be reached; another error removes it.
 */
export function useLoad<T>(): [Load<T>, (ask: (signal: AbortSignal) => Promise<T>) => void] {
  const [state, setState] = useState<Load<T>>({ value: null, error: null, isLoading: false, seconds: 0 })
  const running = useRef<AbortController | null>(null)
  useEffect(() => () => running.current?.abort(), [])
  const load = useCallback((ask: (signal: AbortSignal) => Promise<T>) => {
    running.current?.abort()
    const control = new AbortController()
    running.current = control
    const began = performance.now()
    setState(s => ({ ...s, isLoading: true }))
    const end = (value: T | null, error: Error | null) => {
      if (control.signal.aborted) return
      const seconds = (performance.now() - began) / 1000
      setState(s => ({ value: isUnreachable(error) ? s.value : value, error, isLoading: false, seconds }))
    }
    ask(control.signal).then(value => end(value, null), (error: Error) => end(null, error))
  }, [])
  return [state, load]
}

/** Calls `run` now, and every `seconds`; 0: only once. Nothing runs while the page is hidden. */
export function useRepeat(run: () => void, seconds: number, inputs: unknown[]): void {
  useEffect(() => {
    run()
    if (seconds <= 0) return
    const timer = setInterval(() => document.hidden || run(), seconds * 1000)
    return () => clearInterval(timer)
  }, [seconds, ...inputs])
}
