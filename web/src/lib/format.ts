// format.ts - numbers and labels as text.

const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E']

/** Writes a number with at most four significant digits and a prefix: 12.3k. */
export function short(value: number): string {
  if (!Number.isFinite(value) || value === 0) return String(value)
  const size = Math.abs(value)
  if (size < 1e-3 || size >= 1e21) return value.toExponential(2)
  let power = 0
  let v = size
  while (v >= 999.95 && power < prefixes.length - 1) {
    v /= 1000
    power++
  }
  const digits = v >= 100 ? 1 : v >= 10 ? 2 : 3
  return (value < 0 ? '-' : '') + String(Number(v.toFixed(digits))) + prefixes[power]
}

/** Writes a number of bytes: 12.3 MiB. */
export function bytes(value: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let power = 0
  let v = value
  while (Math.abs(v) >= 1024 && power < names.length - 1) {
    v /= 1024
    power++
  }
  return `${Number(v.toFixed(power === 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2))} ${names[power]}`
}

/** Writes whole numbers with separators: 1,234,567. */
export function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** Writes seconds as 12 ms, 3.4 s. */
export function duration(seconds: number): string {
  if (seconds === 0) return '0 s'
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`
  if (seconds < 1) return `${Number((seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0))} ms`
  if (seconds < 120) return `${Number(seconds.toFixed(1))} s`
  if (seconds < 7200) return `${Number((seconds / 60).toFixed(1))} min`
  if (seconds < 172800) return `${Number((seconds / 3600).toFixed(1))} h`
  return `${Number((seconds / 86400).toFixed(1))} d`
}

export type Labels = Record<string, string>

const plainName = /^[a-zA-Z_][a-zA-Z0-9_]*$/
const plainMetric = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/

/** Quotes a text as PromQL does. */
export function quote(text: string): string {
  return JSON.stringify(text)
}

/** Writes a series as PromQL selects it: up{job="node"}. */
export function seriesText(labels: Labels): string {
  const name = labels['__name__'] ?? ''
  const isPlain = plainMetric.test(name)
  const parts = Object.entries(labels)
    .filter(([n]) => n !== '__name__')
    .map(([n, v]) => `${plainName.test(n) ? n : quote(n)}=${quote(v)}`)
  if (name !== '' && !isPlain) parts.unshift(quote(name))
  return (isPlain ? name : '') + (parts.length > 0 || !isPlain ? `{${parts.join(', ')}}` : '')
}
