// edit.ts - changes of an expression by clicks on its result.

import { quote } from '../lib/format'

const plain = /^[a-zA-Z_][a-zA-Z0-9_]*$/

/**
 * Narrows an expression to the series with a label value. A plain selector gets one more matcher;
 * of any other expression the result is filtered.
 */
export function addMatcher(expr: string, name: string, value: string): string {
  const label = plain.test(name) ? name : quote(name)
  const m = /^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{([^{}]*)\})?\s*$/.exec(expr)
  if (m === null || (m[1] === undefined && m[2] === undefined)) {
    const text = quote(value.replace(/\$/g, '$$$$'))
    return `(${expr.trim()}) and on (${label}) label_replace(vector(1), ${quote(name)}, ${text}, "", "")`
  }
  const inner = (m[2] ?? '').trim().replace(/,$/, '')
  return `${m[1] ?? ''}{${inner === '' ? '' : inner + ', '}${label}=${quote(value)}}`
}
