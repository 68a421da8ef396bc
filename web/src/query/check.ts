// check.ts - asks the server, while somebody types, whether a text is an expression. The server's parser
// decides, so that what is marked is what a query would say.

import { ApiError, answerOf, formOf, root } from '../lib/api'
import { fetchOnce, isUnknown } from '../lib/session'

/** Nothing is asked until nothing was typed for so long; in a word it may still go on. */
const pauseMs = 500
const pauseInWordMs = 1500

/** Returns the error of the parser; null: there is none, or the server does not say. */
async function errorOf(query: string, signal: AbortSignal): Promise<string | null> {
  const response = await fetchOnce(new URL('api/v1/format_query', root), { method: 'POST', body: formOf({ query }), signal })
  // Typing is no reason to ask for a password.
  if (isUnknown(response)) return null
  try {
    await answerOf(response)
    return null
  } catch (e) {
    return e instanceof ApiError && e.status === 400 && e.type === 'bad_data' ? e.message : null
  }
}

export interface Checker {
  /** Asks about a text soon, and drops the question before. */
  later: (text: string, isInWord: boolean) => void
  stop: () => void
}

/** `tell` gets the error of each text that is asked about. */
export function createChecker(tell: (error: string | null) => void): Checker {
  let timer = 0
  let asked: AbortController | null = null
  const stop = () => {
    clearTimeout(timer)
    asked?.abort()
    asked = null
  }
  return {
    stop,
    later(text, isInWord) {
      stop()
      if (text.trim() === '') return tell(null)
      timer = window.setTimeout(() => {
        const control = (asked = new AbortController())
        errorOf(text, control.signal).then(
          error => void (control.signal.aborted || tell(error)),
          () => undefined, // The server is away, which running the expression says.
        )
      }, isInWord ? pauseInWordMs : pauseMs)
    },
  }
}
