// metrics.ts - the server's own metrics, as /metrics gives them.

export interface Metric {
  labels: Record<string, string>
  value: number
}

export type Families = Map<string, Metric[]>

/** Reads the samples of the text format: counters and gauges, without time stamps. */
export function parseMetrics(text: string): Families {
  const families: Families = new Map()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const m = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)/.exec(line)
    if (m === null) continue
    const labels: Record<string, string> = {}
    for (const l of (m[2] ?? '').matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[l[1]!] = l[2]!.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c))
    }
    const list = families.get(m[1]!) ?? []
    list.push({ labels, value: Number(m[3]) })
    families.set(m[1]!, list)
  }
  return families
}

/** The metrics of a family that have these labels; undefined: any value. */
export function select(families: Families, name: string, where: Record<string, string | undefined> = {}): Metric[] {
  const wanted = Object.entries(where).filter(([, v]) => v !== undefined)
  return (families.get(name) ?? []).filter(m => wanted.every(([n, v]) => m.labels[n] === v))
}

export function sum(families: Families, name: string, where: Record<string, string | undefined> = {}): number {
  return select(families, name, where).reduce((n, m) => n + m.value, 0)
}

/** The values of a label in a family, in their order. */
export function valuesOf(families: Families, name: string, label: string): string[] {
  return [...new Set((families.get(name) ?? []).flatMap(m => (label in m.labels ? [m.labels[label]!] : [])))]
}
