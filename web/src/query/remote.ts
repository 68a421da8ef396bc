// remote.ts - reads stored samples by remote read (src/wire/README.md): the only route that gives
// staleness markers. A request is one snappy block of protobuf, and so is the answer.

import { open } from '../lib/api'
import type { Labels } from '../lib/format'

export interface Matcher {
  type: string
  name: string
  value: string
}

export interface RawHistogram {
  count: number
  sum: number
  schema: number
  /** Says how a reset of the counter is known: 0 it is not, 1 reset, 2 none, 3 gauge. */
  hint: number
}

export interface RawSample {
  /** In milliseconds. */
  time: number
  value: number
  isStale: boolean
  histogram: RawHistogram | null
}

export interface RawSeries {
  labels: Labels
  samples: RawSample[]
}

const types = ['=', '!=', '=~', '!~']
const answerMax = 32 << 20
/** Most bytes of an answer when it is unpacked. */
const unpackedMax = 256 << 20
const tooMany = `The samples take more than ${answerMax >> 20} MiB: select fewer series or a shorter range.`
const staleBits = 0x7ff0000000000002n

// --- the request -------------------------------------------------------------------------------

function varint(value: number): number[] {
  const out: number[] = []
  let rest = value
  while (rest >= 128) {
    out.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return [...out, rest]
}

function field(number: number, content: number[]): number[] {
  return [number * 8 + 2, ...varint(content.length), ...content]
}

function textField(number: number, text: string): number[] {
  return field(number, [...new TextEncoder().encode(text)])
}

function requestOf(selectors: Matcher[][], startMs: number, endMs: number): Uint8Array {
  const queries = selectors.flatMap(matchers =>
    field(1, [
      8,
      ...varint(startMs),
      16,
      ...varint(endMs),
      ...matchers.flatMap(m => field(3, [8, types.indexOf(m.type), ...textField(2, m.name), ...textField(3, m.value)])),
    ]),
  )
  // A snappy block of literals alone, each of at most 65536 bytes.
  const block = varint(queries.length)
  for (let at = 0; at < queries.length; at += 65536) {
    const piece = queries.slice(at, at + 65536)
    block.push(61 << 2, (piece.length - 1) & 255, (piece.length - 1) >> 8, ...piece)
  }
  return Uint8Array.from(block)
}

// --- the answer --------------------------------------------------------------------------------

class Bytes {
  at = 0
  readonly view: DataView
  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length
  }

  varint(): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.view.getUint8(this.at++)
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return BigInt.asUintN(64, value)
    }
  }

  number(): number {
    return Number(this.varint())
  }

  take(size: number): Uint8Array {
    if (this.at + size > this.bytes.length) throw new RangeError('the answer is cut short')
    return this.bytes.subarray(this.at, (this.at += size))
  }
}

function unpack(block: Uint8Array): Uint8Array {
  const from = new Bytes(block)
  const size = from.number()
  if (size > unpackedMax) throw new Error(tooMany)
  const to = new Uint8Array(size)
  let end = 0
  while (!from.isAtEnd) {
    const tag = from.view.getUint8(from.at++)
    const kind = tag & 3
    let length = tag >> 2
    if (kind === 0) {
      if (length >= 60) length = from.take(length - 59).reduceRight((n, byte) => n * 256 + byte, 0)
      to.set(from.take(length + 1), end)
      end += length + 1
      continue
    }
    let offset = 0
    if (kind === 1) {
      offset = ((tag >> 5) << 8) | from.view.getUint8(from.at++)
      length = 4 + ((tag >> 2) & 7)
    } else {
      offset = from.take(kind === 2 ? 2 : 4).reduceRight((n, byte) => n * 256 + byte, 0)
      length++
    }
    if (offset === 0 || offset > end || end + length > size) throw new RangeError('the answer is damaged')
    // A copy may reach into what it writes.
    for (let i = 0; i < length; i++, end++) to[end] = to[end - offset]!
  }
  return to
}

/** Calls `each` with the fields of a message: numbers as their 64 bits. */
function fields(message: Uint8Array, each: (number: number, bits: bigint, content: Uint8Array | null) => void): void {
  const from = new Bytes(message)
  while (!from.isAtEnd) {
    const key = from.number()
    const kind = key & 7
    if (kind === 0) each(key >> 3, from.varint(), null)
    else if (kind === 2) each(key >> 3, 0n, from.take(from.number()))
    else if (kind === 1) {
      each(key >> 3, from.view.getBigUint64(from.at, true), null)
      from.at += 8
    } else if (kind === 5) from.take(4)
    else throw new RangeError('the answer is damaged')
  }
}

const word = new DataView(new ArrayBuffer(8))

function doubleOf(bits: bigint): number {
  word.setBigUint64(0, bits)
  return word.getFloat64(0)
}

function sampleOf(message: Uint8Array): RawSample {
  const s: RawSample = { time: 0, value: 0, isStale: false, histogram: null }
  fields(message, (number, bits) => {
    if (number === 1) {
      s.value = doubleOf(bits)
      s.isStale = bits === staleBits
    } else if (number === 2) s.time = Number(BigInt.asIntN(64, bits))
  })
  return s
}

function histogramOf(message: Uint8Array): RawSample {
  const h: RawHistogram = { count: 0, sum: 0, schema: 0, hint: 0 }
  const s: RawSample = { time: 0, value: NaN, isStale: false, histogram: h }
  fields(message, (number, bits) => {
    if (number === 1) h.count = Number(bits)
    else if (number === 2) h.count = doubleOf(bits)
    else if (number === 3) {
      h.sum = doubleOf(bits)
      s.isStale = bits === staleBits
    } else if (number === 4) h.schema = Number((bits >> 1n) ^ -(bits & 1n))
    else if (number === 14) h.hint = Number(bits)
    else if (number === 15) s.time = Number(BigInt.asIntN(64, bits))
  })
  return s
}

function seriesOf(message: Uint8Array): RawSeries {
  const text = new TextDecoder()
  const s: RawSeries = { labels: {}, samples: [] }
  fields(message, (number, _, content) => {
    if (content === null) return
    if (number === 1) {
      const pair = ['', '', '']
      fields(content, (n, _bits, c) => c !== null && n <= 2 && (pair[n] = text.decode(c)))
      s.labels[pair[1]!] = pair[2]!
    } else if (number === 2) s.samples.push(sampleOf(content))
    else if (number === 4) s.samples.push(histogramOf(content))
  })
  s.samples.sort((a, b) => a.time - b.time)
  return s
}

function answerOf(block: Uint8Array): RawSeries[] {
  const all: RawSeries[] = []
  fields(unpack(block), (number, _, result) => {
    if (number !== 1 || result === null) return
    fields(result, (n, _bits, series) => n === 1 && series !== null && all.push(seriesOf(series)))
  })
  return all
}

/** Reads a body up to a limit, so that a large answer is an error and no burden. */
async function bodyOf(response: Response): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let size = 0
  const reader = response.body!.getReader()
  for (let r = await reader.read(); !r.done; r = await reader.read()) {
    pieces.push(r.value)
    size += r.value.length
    if (size <= answerMax) continue
    await reader.cancel()
    throw new Error(tooMany)
  }
  const all = new Uint8Array(size)
  let at = 0
  for (const p of pieces) {
    all.set(p, at)
    at += p.length
  }
  return all
}

/** Returns the stored samples of each selector, of all replicas. */
export async function readRaw(selectors: Matcher[][], start: number, end: number, signal: AbortSignal): Promise<RawSeries[]> {
  const response = await open('api/v1/read?dedup=false', {
    headers: { 'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'snappy', 'X-Prometheus-Remote-Read-Version': '0.1.0' },
    body: requestOf(selectors, Math.round(start * 1000), Math.round(end * 1000)) as BodyInit,
    signal,
  })
  return answerOf(await bodyOf(response))
}
