// measure.mjs - measures the query page in Chromium for bench/web, with the server at $URL, whose process
// is $SERVER_PID: prints JSON. Times are in milliseconds, memory in MiB: that of the tab's process (Pss),
// and of its JavaScript heap after a collection.

import { readFileSync, readdirSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

const { URL: url, SERVER_PID, CHROMIUM, STEPS, REFRESHES, SPEED } = process.env
const step = 15
const browser = await puppeteer.launch({
  executablePath: CHROMIUM,
  networkEnabled: false, // else the browser keeps the answers in the memory of the tab
  protocolTimeout: 3_600_000,
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
  await page.goto(url + path, { waitUntil: 'load' })
  await page.waitForFunction(() => document.querySelector('.expression > div')?.shadowRoot?.querySelector('.cm-content'))
  return page
}

async function processes() {
  const system = await browser.target().createCDPSession()
  const { processInfo } = await system.send('SystemInfo.getProcessInfo')
  await system.detach()
  return processInfo
}

/** Says how much memory the processes that show pages use: the page is the only one. */
async function memoryOf(page) {
  const session = await page.createCDPSession()
  await session.send('HeapProfiler.collectGarbage')
  const heap = await session.send('Runtime.getHeapUsage')
  await session.detach()
  const pss = (await processes())
    .filter(p => p.type === 'renderer')
    .map(p => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${p.id}/smaps_rollup`, 'utf8'))?.[1] ?? 0))
  return { tab: Math.round(Math.max(...pss) / 1024), heap: Math.round(heap.usedSize / 1048576) }
}

/** The CPU time of the tabs, the rest of the browser, and the server. */
async function cpuTimes() {
  const times = { tab: 0, browser: 0, server: 0 }
  const all = [...(await processes()).map(p => [p.type === 'renderer' ? 'tab' : 'browser', p.id]), ['server', SERVER_PID]]
  for (const [name, id] of all) {
    for (const thread of readdirSync(`/proc/${id}/task`)) times[name] += Number(readFileSync(`/proc/${id}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6
  }
  return times
}

/** Runs the expression again, and waits until its graph is painted. */
function draw(page) {
  return page.evaluate(async () => {
    const panel = document.querySelector('.panel')
    const before = document.querySelector('.chart canvas')
    const began = performance.now()
    const isNew = () => panel.getAttribute('aria-busy') === 'false' && ![null, before].includes(document.querySelector('.chart canvas'))
    await new Promise(done => {
      const observer = new MutationObserver(() => isNew() && done(observer.disconnect()))
      observer.observe(panel, { attributes: true, childList: true, subtree: true })
      document.querySelector('.ask .primary').click()
    })
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)))
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
const before = await cpuTimes()
for (let i = 0; i < 5; i++) times.push(await draw(page))
const after = await cpuTimes()
figures.draw = times.sort((a, b) => a - b)[2]
figures.drawCpu = Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, Math.round((ms - before[name]) / 5)]))
figures.drawn = await page.evaluate(() => document.querySelector('.legend caption').textContent)
figures.afterDrawing = await memoryOf(page)
await page.close()

graph.set('g0.expr', 'topk(20, load)')
const refreshed = await open(`/query?${graph}`)
await refreshed.waitForSelector('.chart canvas')
/** Waits until the page has so many new graphs. */
const memoryAfter = async count => {
  await refreshed.evaluate(
    n =>
      new Promise(done => {
        let last = document.querySelector('.chart canvas')
        const observer = new MutationObserver(() => {
          const now = document.querySelector('.chart canvas')
          if (now === null || now === last) return
          last = now
          if (--n === 0) done(observer.disconnect())
        })
        observer.observe(document.body, { childList: true, subtree: true })
      }),
    count,
  )
  return memoryOf(refreshed)
}
await refreshed.select('header.title select', '5')
figures.afterRefreshes = { 20: await memoryAfter(20), [REFRESHES]: await memoryAfter(REFRESHES - 20) }
await browser.close()
console.log(JSON.stringify(figures, null, 1))
