// export.ts - the answer of a query as a file.

import { isOfSeries } from './result'
import type { Complete } from './outcome'
import type { Series } from './result'

function cell(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text
}

/** One row for each sample: labels, time in seconds, value. Histograms have their count and sum. Results
 * of several expressions begin with the expression. */
export function csvOf(results: Complete[]): string {
  const names = [...new Set(results.flatMap(({ answer: { data } }) => (isOfSeries(data) ? data.result.flatMap(s => Object.keys(s.metric)) : [])))].sort()
  const isMany = results.length > 1
  const rows = [[...(isMany ? ['expression'] : []), ...names, 'time', 'value'].map(cell).join(',')]
  for (const {
    query,
    answer: { data },
  } of results) {
    const begin = isMany ? [cell(query)] : []
    for (const s of isOfSeries(data) ? data.result : [{ metric: {}, value: data.result } as Series]) {
      const labels = names.map(n => cell(s.metric[n] ?? ''))
      const samples: [number, string][] = [...(s.values ?? []), ...(s.value ? [s.value] : [])]
      for (const [t, h] of [...(s.histograms ?? []), ...(s.histogram ? [s.histogram] : [])]) {
        samples.push([t, `count=${h.count} sum=${h.sum}`])
      }
      for (const [t, v] of samples) rows.push([...begin, ...labels, String(t), cell(v)].join(','))
    }
  }
  return rows.join('\n') + '\n'
}

/** The result as the API has it, with its expression, warnings and infos, or a list of several. */
export function jsonOf(results: Complete[]): string {
  const all = results.map(({ query, answer: { data, warnings, infos } }) => ({
    query,
    ...data,
    ...(warnings.length > 0 && { warnings }),
    ...(infos.length > 0 && { infos }),
  }))
  return JSON.stringify(all.length === 1 ? all[0] : all)
}

/** Offers a file for download. */
export function save(name: string, type: string, content: BlobPart): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([content], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

/** Saves a graph with its expression above it, on the ground of the page. */
export function savePicture(canvas: HTMLCanvasElement, title: string): void {
  const style = getComputedStyle(document.body)
  const head = 28 * devicePixelRatio
  const picture = document.createElement('canvas')
  picture.width = canvas.width
  picture.height = canvas.height + head
  const c = picture.getContext('2d')!
  c.fillStyle = style.backgroundColor
  c.fillRect(0, 0, picture.width, picture.height)
  c.fillStyle = style.color
  c.font = `${14 * devicePixelRatio}px monospace`
  c.textBaseline = 'middle'
  c.fillText(title.replace(/\s+/g, ' '), head / 3, head / 2)
  c.drawImage(canvas, 0, head)
  picture.toBlob(blob => blob !== null && save('firekeep.png', 'image/png', blob), 'image/png')
}
