// measure.mjs - measures the query page in Chromium for bench/web, with the server at $URL: prints JSON.
// Times are in milliseconds, memory in MiB: that of the tab's process (Pss), and of its JavaScript
// heap after a collection.

import { readFileSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

const { URL: url, CHROMIUM, STEPS, REFRESHES, SPEED } = process.env
const step = 15
const browser = await puppeteer.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
})

async function open(path) {
  const page = await browser.newPage()
  page.setDefaultTimeout(0)
  await page.setViewport({ width: 1400, height: 900 })
  await page.evaluateOnNewDocument(speed => {
    const real = setInterval
    window.setInterval = (run, ms) => real(run, ms / speed)
  }, Number(SPEED))
  await page.goto(url + path, { waitUntil: 'networkidle0' })
  return page
}

/** Says how much memory the processes that show pages use: the page is the only one. */
async function memoryOf(page) {
  const session = await page.createCDPSession()
  await session.send('HeapProfiler.collectGarbage')
  const heap = await session.send('Runtime.getHeapUsage')
  await session.detach()
  const system = await browser.target().createCDPSession()
  const { processInfo } = await system.send('SystemInfo.getProcessInfo')
  await system.detach()
  const pss = processInfo
    .filter(p => p.type === 'renderer')
    .map(p => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${p.id}/smaps_rollup`, 'utf8'))?.[1] ?? 0))
  return { tab: Math.round(Math.max(...pss) / 1024), heap: Math.round(heap.usedSize / 1048576) }
}

/** Runs the expression again, and waits until its graph is painted. */
function draw(page) {
  return page.evaluate(async () => {
    const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)))
    const panel = document.querySelector('.panel')
    const before = document.querySelector('.chart canvas')
    const began = performance.now()
    document.querySelector('.ask .primary').click()
    const isNew = () => panel.getAttribute('aria-busy') === 'false' && ![null, before].includes(document.querySelector('.chart canvas'))
    do await frame()
    while (!isNew())
    await frame()
    return Math.round(performance.now() - began)
  })
}

const figures = {}
await (await open('/query')).close() // fills the cache of the browser
const first = await open('/query')
figures.firstPaint = Math.round(await first.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime))
await first.close()

const graph = new URLSearchParams({ 'g0.expr': 'load', 'g0.tab': 'graph', 'g0.range_input': `${STEPS * step}s`, 'g0.res_type': 'custom', 'g0.res_step': `${step}s` })
const page = await open(`/query?${graph}`)
await page.waitForSelector('.chart canvas')
const times = []
for (let i = 0; i < 5; i++) times.push(await draw(page))
figures.draw = times.sort((a, b) => a - b)[2]
figures.drawn = await page.evaluate(() => document.querySelector('.legend caption').textContent)
figures.afterDrawing = await memoryOf(page)
await page.close()

graph.set('g0.expr', 'topk(20, load)')
const refreshed = await open(`/query?${graph}`)
await refreshed.waitForSelector('.chart canvas')
let answers = 0
refreshed.on('response', r => (answers += r.url().includes('query_range') ? 1 : 0))
const after = async count => {
  while (answers < count) await refreshed.waitForResponse(r => r.url().includes('query_range'))
  return memoryOf(refreshed)
}
await refreshed.select('header.title select', '5')
figures.afterRefreshes = { [20]: await after(20), [REFRESHES]: await after(Number(REFRESHES)) }
await browser.close()
console.log(JSON.stringify(figures, null, 1))
