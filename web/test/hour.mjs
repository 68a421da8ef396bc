// hour.mjs - measures for bench/web whether a page that refreshes itself grows, with the server at
// $URL: the JavaScript heap, the nodes and the listeners after a collection, every five minutes until
// $MINUTES. Prints JSON; exits with 1 if there is more of one of them at the end than at the start.
//
// The minutes begin after $WARM refreshes in quick succession: until then V8 compiles the functions that
// a refresh calls, and machine code is part of its heap. `codeKiB` is its size at the end: a snapshot of
// the heap takes some 20 MiB of the tab, so there is none before. `tabMiB` has no pages of files, of
// which a process has a share that depends on how many other processes of the browser there are.

import { readFileSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

const { URL: url, CHROMIUM, MINUTES, PAGE, WARM } = process.env
/** Refreshes are so many times as frequent before the page is warm. */
const speed = 20
const browser = await puppeteer.launch({
  executablePath: CHROMIUM,
  networkEnabled: false, // else the browser keeps the answers in the memory of the tab
  protocolTimeout: 600_000,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
})
const page = await browser.newPage()
page.setDefaultTimeout(0)
await page.setViewport({ width: 1400, height: 900 })
await page.evaluateOnNewDocument(speed => {
  const realInterval = setInterval
  window.isWarm = false
  window.setInterval = (run, ms) => {
    let ticks = 0
    return realInterval(() => (ticks++ % (window.isWarm ? speed : 1) === 0 ? run() : undefined), ms / speed)
  }
  const real = fetch
  window.asked = 0
  window.fetch = (resource, init) => {
    window.asked += String(resource instanceof Request ? resource.url : resource).includes('query_range') ? 1 : 0
    return real(resource, init)
  }
}, speed)
await page.goto(url + PAGE, { waitUntil: 'load' })
await page.waitForSelector('.chart canvas')
const needsRefresh = !PAGE.includes('refresh=')
if (needsRefresh) await page.select('header.title select', '5')

const session = await page.createCDPSession()
const system = await browser.target().createCDPSession()
await session.send('Performance.enable')

/** Adds up the nodes of a snapshot of the heap that V8 made of functions: bytecode, machine code, feedback. */
async function codeSize() {
  const pieces = []
  const keep = event => pieces.push(event.chunk)
  session.on('HeapProfiler.addHeapSnapshotChunk', keep)
  await session.send('HeapProfiler.takeHeapSnapshot')
  session.off('HeapProfiler.addHeapSnapshotChunk', keep)
  const { nodes, snapshot } = JSON.parse(pieces.join(''))
  const { node_fields: fields, node_types: types } = snapshot.meta
  const code = types[fields.indexOf('type')].indexOf('code')
  let size = 0
  for (let at = 0; at < nodes.length; at += fields.length) {
    if (nodes[at + fields.indexOf('type')] === code) size += nodes[at + fields.indexOf('self_size')]
  }
  return Math.round(size / 1024)
}

/** The memory that the process of the tab has to itself: its process is that which computed most. */
async function privateMemory() {
  const { processInfo } = await system.send('SystemInfo.getProcessInfo')
  const tab = processInfo.filter(p => p.type === 'renderer').reduce((a, b) => (b.cpuTime > a.cpuTime ? b : a))
  return Number(/^Anonymous:\s+(\d+)/m.exec(readFileSync(`/proc/${tab.id}/smaps_rollup`, 'utf8'))[1])
}

async function reading() {
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  const of = name => metrics.find(m => m.name === name).value
  return {
    heapKiB: Math.round(of('JSHeapUsedSize') / 1024),
    nodes: of('Nodes'),
    listeners: of('JSEventListeners'),
    tabMiB: Math.round((await privateMemory()) / 1024),
    asked: await page.evaluate(() => window.asked),
  }
}

await page.waitForFunction(n => window.asked >= n && (window.isWarm = true), {}, Number(WARM))
const began = performance.now()
const readings = {}
for (let minute = 0; minute <= Number(MINUTES); minute += 5) {
  await new Promise(resolve => setTimeout(resolve, began + minute * 60_000 - performance.now()))
  readings[minute] = await reading()
  console.error(`minute ${minute}: ${JSON.stringify(readings[minute])}`)
}
const codeKiB = await codeSize()
await browser.close()
const list = Object.values(readings)
const [first, last] = [list[0], list.at(-1)]
/** What the collector leaves varies by some per cent. */
const most = 1.05
const grown = ['heapKiB', 'nodes', 'listeners'].filter(name => last[name] > first[name] * most)
// Allocators of the browser return memory late.
if (last.tabMiB > first.tabMiB * 1.2) grown.push('tabMiB')
console.log(JSON.stringify({ page: PAGE, minutes: Number(MINUTES), readings, codeKiB, grown }, null, 1))
process.exit(grown.length > 0 || last.asked <= first.asked ? 1 : 0)
