// hour.mjs - measures for bench/web whether a page that refreshes itself grows, with the server at
// $URL: the JavaScript heap, the nodes and the listeners after a collection, every five minutes until
// $MINUTES. Prints JSON; exits with 1 if there is more of one of them at the end than at minute 20: until
// then the graph, of 15 minutes, gets more points.

import { readFileSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

const { URL: url, CHROMIUM, MINUTES, PAGE } = process.env
const browser = await puppeteer.launch({
  executablePath: CHROMIUM,
  networkEnabled: false, // else the browser keeps the answers in the memory of the tab
  protocolTimeout: 600_000,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
})
const page = await browser.newPage()
page.setDefaultTimeout(0)
await page.setViewport({ width: 1400, height: 900 })
await page.evaluateOnNewDocument(() => {
  const real = fetch
  window.asked = 0
  window.fetch = (resource, init) => {
    window.asked += String(resource instanceof Request ? resource.url : resource).includes('query_range') ? 1 : 0
    return real(resource, init)
  }
})
await page.goto(url + PAGE, { waitUntil: 'load' })
await page.waitForSelector('.chart canvas')
const needsRefresh = !PAGE.includes('refresh=')
if (needsRefresh) await page.select('header.title select', '5')

const session = await page.createCDPSession()
const system = await browser.target().createCDPSession()
await session.send('Performance.enable')

async function reading() {
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  const of = name => metrics.find(m => m.name === name).value
  const { processInfo } = await system.send('SystemInfo.getProcessInfo')
  const pss = processInfo
    .filter(p => p.type === 'renderer')
    .map(p => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${p.id}/smaps_rollup`, 'utf8'))?.[1] ?? 0))
  return { heapKiB: Math.round(of('JSHeapUsedSize') / 1024), nodes: of('Nodes'), listeners: of('JSEventListeners'), tabMiB: Math.round(Math.max(...pss) / 1024), asked: await page.evaluate(() => window.asked) }
}

const began = performance.now()
const readings = {}
for (let minute = 5; minute <= Number(MINUTES); minute += 5) {
  await new Promise(resolve => setTimeout(resolve, began + minute * 60_000 - performance.now()))
  readings[minute] = await reading()
  console.error(`minute ${minute}: ${JSON.stringify(readings[minute])}`)
}
await browser.close()
const list = Object.values(readings)
const [first, last] = [readings[20] ?? list[0], list.at(-1)]
/** What the collector leaves varies by some per cent. */
const grown = Object.entries({ heapKiB: 1.1, nodes: 1.05, listeners: 1.05 }).filter(([name, most]) => last[name] > first[name] * most).map(([name]) => name)
console.log(JSON.stringify({ page: PAGE, minutes: Number(MINUTES), readings, grown }, null, 1))
process.exit(grown.length > 0 || last.asked <= first.asked ? 1 : 0)
