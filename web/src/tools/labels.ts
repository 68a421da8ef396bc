// labels.ts - the labels of a series as PromQL writes it.

/** Splits up{job="x", "a.b"="y"} into its name and labels, as texts. */
export function labelsOf(series: string): string[] {
  const open = series.indexOf('{')
  const name = open < 0 ? series : series.slice(0, open)
  const labels = open < 0 ? [] : (series.slice(open + 1).match(/(?:"(?:[^"\\]|\\.)*"|[^",}])+/g) ?? []).map(l => l.trim())
  return [name, ...labels].filter(l => l !== '')
}

/** The labels of `after` that `before` has not. */
export function addedOf(before: string, after: string): string[] {
  const old = new Set(labelsOf(before))
  return labelsOf(after).filter(l => !old.has(l))
}
