// colour.ts - the colours of what is drawn on a canvas.

const hues = [212, 24, 142, 0, 271, 190, 48, 320, 95, 235, 12, 165]

/** The colour of the series with an index; neighbours differ in hue, repetitions in lightness. */
export function colourOf(index: number): string {
  const round = Math.floor(index / hues.length) % 3
  return `hsl(${hues[index % hues.length]} ${70 - round * 15}% ${[50, 38, 62][round]}%)`
}

/** Reads a colour of the style sheet, such as --line. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}
