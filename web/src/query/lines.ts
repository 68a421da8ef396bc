// lines.ts - draws the lines and areas of a graph, of which there may be thousands. A chart of uPlot
// makes three paths and a clipping region for each of its series; here it has only two, the least and
// the greatest value of each step, by which it chooses its axes, and the lines go to the canvas as they
// are read from the columns.

import uPlot from 'uplot'
import { colourOf } from './colour'
import { stack } from './result'
import type { Columns } from './result'

export interface LinesStyle {
  isShown: (i: number) => boolean
  isStacked: boolean
  isLog: boolean
  /** How much of its colour the area below a line has, 0 to 1. */
  fill: number
}

/** A canvas draws lines of one pixel at a fifth of the cost of thicker ones. Where there are so many
 * values that nobody can follow a line, setting the pixels takes a quarter of that again. */
const thickMax = 200
const smoothMax = 500_000
const thickness = 1.25

type Values = (number | null)[]

/** The least and the greatest value of each step of the series that are shown; null: it has none. */
function reachOf(columns: Columns, style: LinesStyle): [Values, Values] {
  const size = columns.times.length
  const least = new Float64Array(size).fill(Infinity)
  const greatest = new Float64Array(size).fill(-Infinity)
  columns.values.forEach((column, s) => {
    if (!style.isShown(s)) return
    for (let i = 0; i < size; i++) {
      const v = column[i]!
      // Comparisons with NaN are false. A logarithmic axis begins at the least positive value.
      if (v < least[i]! && (v > 0 || !style.isLog)) least[i] = v
      if (v > greatest[i]!) greatest[i] = v
    }
  })
  const finite = (column: Float64Array) => Array.from(column, v => (Number.isFinite(v) ? v : null))
  return [finite(least), finite(greatest)]
}

/** Returns the function that moves a value to a pixel of the canvas. */
function placesOf(u: uPlot, isLog: boolean): (v: number) => number {
  const { min, max } = u.scales['y']! as { min: number; max: number }
  const { top, height } = u.bbox
  if (!isLog) return v => top + ((max - v) / (max - min)) * height
  const [low, high] = [Math.log10(min), Math.log10(max)]
  // What is not positive is below the axis; a gap stays one.
  return v => top + ((high - Math.log10(v <= 0 ? min / 10 : v)) / (high - low)) * height
}

/** Adds a line with its gaps to the path; a value between two gaps is a short dash. */
function addLine(c: CanvasRenderingContext2D, column: Float64Array, xs: Float64Array, place: (v: number) => number): void {
  let isDrawing = false
  for (let i = 0; i < xs.length; i++) {
    const v = column[i]!
    if (v !== v) {
      isDrawing = false
    } else if (isDrawing) {
      c.lineTo(xs[i]!, place(v))
    } else {
      const y = place(v)
      c.moveTo(xs[i]!, y)
      if (Number.isNaN(column[i + 1] ?? NaN)) c.lineTo(xs[i]! + 3, y)
      isDrawing = true
    }
  }
}

/** Fills what is between a column and the one below it, or the end of the axis at `base`. */
function fillArea(c: CanvasRenderingContext2D, column: Float64Array, below: Float64Array | null, xs: Float64Array, place: (v: number) => number, base: number): void {
  c.beginPath()
  for (let i = 0; i < xs.length; ) {
    if (Number.isNaN(column[i]!)) {
      i++
      continue
    }
    const begin = i
    c.moveTo(xs[i]!, place(column[i]!))
    for (i++; i < xs.length && !Number.isNaN(column[i]!); i++) c.lineTo(xs[i]!, place(column[i]!))
    for (let back = i - 1; back >= begin; back--) {
      if (below !== null) c.lineTo(xs[back]!, place(below[back]!))
      else if (back === i - 1 || back === begin) c.lineTo(xs[back]!, base)
    }
    c.closePath()
  }
  c.fill()
}

/** Sets the pixels of a line from one step to the next, without those of its first column. */
function setPixels(pixels: Uint32Array, width: number, height: number, x0: number, y0: number, x1: number, y1: number, colour: number): void {
  let row = y0
  for (let x = x0 + 1; x <= x1; x++) {
    const next = (y0 + ((y1 - y0) * (x - x0)) / (x1 - x0)) | 0
    let at = row < next ? row : next
    let last = row < next ? next : row
    if (at < 0) at = 0
    if (last >= height) last = height - 1
    for (; at <= last; at++) pixels[at * width + x] = colour
    row = next
  }
}

/** Reads a colour as the bytes of a pixel. */
function pixelOf(c: CanvasRenderingContext2D, colour: string): number {
  c.fillStyle = colour
  const rgb = parseInt((c.fillStyle as string).slice(1), 16)
  return (0xff000000 | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0
}

/** Draws lines without smoothing, pixel by pixel. */
function drawPixels(u: uPlot, columns: Columns, shown: number[], xs: Float64Array, place: (v: number) => number): void {
  const { left, top, width, height } = u.bbox
  const image = new ImageData(Math.round(width), Math.round(height))
  const pixels = new Uint32Array(image.data.buffer)
  const columnOf = Int32Array.from(xs, x => Math.min(x - left, image.width - 1))
  const colours = new Map<string, number>()
  for (const s of shown) {
    const column = columns.values[s]!
    const name = colourOf(s)
    if (!colours.has(name)) colours.set(name, pixelOf(u.ctx, name))
    const colour = colours.get(name)!
    let isDrawing = false
    let before = 0
    for (let i = 0; i < columnOf.length; i++) {
      const v = column[i]!
      if (v === v) {
        const x = columnOf[i]!
        const y = Math.min(Math.max(place(v) - top, -1), height) | 0
        if (isDrawing) setPixels(pixels, image.width, image.height, columnOf[i - 1]!, before, x, y, colour)
        else setPixels(pixels, image.width, image.height, x - 1, y, x, y, colour)
        before = y
      }
      isDrawing = v === v
    }
  }
  const canvas = new OffscreenCanvas(image.width, image.height)
  canvas.getContext('2d')!.putImageData(image, 0, 0)
  u.ctx.drawImage(canvas, left, top)
}

/** Returns what a chart needs to draw the columns: its data, its series, and a plugin. */
export function linesOf(columns: Columns, style: LinesStyle): { data: uPlot.AlignedData; series: uPlot.Series[]; plugin: uPlot.Plugin } {
  const drawn = style.isStacked ? stack(columns, style.isShown) : columns
  const draw = (u: uPlot) => {
    if (u.scales['y']!.min == null) return
    const c = u.ctx
    const shown = drawn.values.map((_, i) => i).filter(style.isShown)
    const xs = Float64Array.from(drawn.times, t => u.valToPos(t, 'x', true))
    const place = placesOf(u, style.isLog)
    const { left, top, width, height } = u.bbox
    const base = Math.min(style.isLog ? top + height : place(0), top + height)
    if (style.fill === 0 && shown.length * xs.length > smoothMax) {
      drawPixels(u, drawn, shown, xs, place)
      return
    }
    c.save()
    c.beginPath()
    c.rect(left, top, width, height)
    c.clip()
    c.lineWidth = shown.length > thickMax ? 1 : thickness * devicePixelRatio
    c.lineJoin = 'round'
    shown.forEach((i, at) => {
      const colour = colourOf(i)
      if (style.fill > 0) {
        c.fillStyle = colour.replace(')', ` / ${style.fill})`)
        fillArea(c, drawn.values[i]!, style.isStacked && at > 0 ? drawn.values[shown[at - 1]!]! : null, xs, place, base)
      }
      c.strokeStyle = colour
      c.beginPath()
      addLine(c, drawn.values[i]!, xs, place)
      c.stroke()
    })
    c.restore()
  }
  const unseen: uPlot.Series = { paths: () => null, points: { show: false } }
  return {
    data: [drawn.times, ...reachOf(drawn, style)] as uPlot.AlignedData,
    series: [{}, unseen, unseen],
    plugin: { hooks: { draw } },
  }
}
