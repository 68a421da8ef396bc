// page.mjs - each page in Chromium, with the server at $URL, and sessions (session.mjs) with another
// server: prints "ok CLAIM" or "not ok CLAIM - why" for each claim. The content security policy, foreign requests and errors are watched all the time.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import puppeteer from 'puppeteer-core'
import { sessionClaims } from './session.mjs'

const url = process.env.URL
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  timeout: 120_000,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking'],
})
let failures = 0
/** What went wrong in the browser since the last claim. */
let trouble = []

async function open(path, size = { width: 1280, height: 900 }, base = url, context = browser.defaultBrowserContext()) {
  const page = await context.newPage()
  await page.setViewport(size)
  page.on('console', m => m.type() === 'error' && trouble.push(`console: ${m.text()}`))
  page.on('pageerror', e => trouble.push(`error: ${e.message}`))
  page.on('dialog', d => {
    trouble.push(`dialog: ${d.message()}`)
    d.dismiss()
  })
  page.on('request', r => {
    if (!r.url().startsWith(base) && !/^(data|blob):/.test(r.url())) trouble.push(`foreign request: ${r.url()}`)
  })
  await page.goto(base + path, { waitUntil: 'networkidle0' })
  return page
}

async function claim(name, test) {
  trouble = []
  let why
  try {
    await test()
    why = trouble[0]
  } catch (e) {
    why = e.message.split('\n')[0]
  }
  if (why === undefined) {
    console.log(`ok ${name}`)
  } else {
    failures++
    console.log(`not ok ${name} - ${why}`)
  }
  for (const page of (await browser.pages()).slice(1)) await page.close()
}

function expect(condition, why) {
  if (!condition) throw new Error(why)
}

/** Waits until the text of the page has all words. */
async function shows(page, ...words) {
  try {
    await page.waitForFunction(ws => ws.every(w => document.body.innerText.includes(w)), { timeout: 10_000 }, words)
  } catch {
    const text = await page.evaluate(() => document.body.innerText)
    throw new Error(`does not show ${JSON.stringify(words)}, but ${JSON.stringify(text.slice(-300))}`)
  }
}

const pages = {
  query: ['Query', 'Run'],
  explore: ['Explore', 'requests_total'],
  alerts: ['Alerts', 'Always', 'firing'],
  rules: ['Rules', 'job:requests:rate5m'],
  keep: ['Keep', 'samples'],
  destinations: ['Destinations', 'No destinations are configured'],
  status: ['Status', 'firekeepVersion'],
  'tsdb-status': ['requests_total'],
  queries: ['Running', 'Most expensive'],
  config: ['web:'],
  flags: ['storage.path'],
}

/** By the debugger, because the page's policy runs no text. */
async function axeFinds(page) {
  const found = await page.evaluate(`${axe}; axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html.slice(0, 160)))`)
  expect(found.length === 0, found.join('; '))
}

for (const [path, words] of Object.entries(pages)) {
  await claim(`page ${path} shows its data, fits on a phone, and axe finds nothing in light and dark`, async () => {
    const page = await open(`/${path}${path === 'query' ? '?g0.expr=requests_total&g0.tab=graph' : ''}`)
    await shows(page, ...words)
    for (const theme of ['light', 'dark']) {
      await page.evaluate(t => (document.documentElement.dataset.theme = t), theme)
      await axeFinds(page)
    }
    await page.setViewport({ width: 360, height: 740 })
    const fits = page.waitForFunction(() => document.documentElement.scrollWidth <= 360, { timeout: 3000 })
    await fits.catch(async () => {
      throw new Error(`${await page.evaluate(() => document.documentElement.scrollWidth)} pixels wide`)
    })
  })
}

await claim('a link of Prometheus 2 opens its graph', async () => {
  const page = await open('/graph?g0.expr=rate(requests_total%5B5m%5D)&g0.tab=0&g0.range_input=30m')
  await page.waitForSelector('.chart canvas')
  await shows(page, '3 series', 'path=')
})

await claim('a link of Prometheus 3 opens its table', async () => {
  await shows(await open('/query?g0.expr=sum(requests_total)&g0.show_tree=0&g0.tab=table'), '{}')
})

await claim('an expression is typed, run, and in the address', async () => {
  const page = await open('/query')
  await page.waitForFunction(() => document.querySelector('.expression > div')?.shadowRoot?.querySelector('.cm-content'))
  await page.evaluate(() => document.querySelector('.expression > div').shadowRoot.querySelector('.cm-content').focus())
  await page.keyboard.type('count(requests_total)')
  await page.keyboard.press('Escape')
  await page.keyboard.press('Enter')
  await shows(page, '1 series')
  expect(page.url().includes('g0.expr=count'), page.url())
})

await claim('the editor completes names of metrics', async () => {
  const page = await open('/query')
  await page.waitForFunction(() => document.querySelector('.expression > div')?.shadowRoot?.querySelector('.cm-content'))
  await page.evaluate(() => document.querySelector('.expression > div').shadowRoot.querySelector('.cm-content').focus())
  await page.keyboard.type('reque')
  await page.waitForFunction(() => [...document.querySelectorAll('.expression > div')].some(d => d.shadowRoot.textContent.includes('requests_total')))
})

await claim('an error of the server is shown, and marked at its place', async () => {
  const page = await open('/query?g0.expr=sum(requests_total&g0.tab=table')
  await page.waitForFunction(() => document.querySelector('.notice.error')?.textContent.includes('parse error'))
  await page.waitForFunction(() => document.querySelector('.expression > div')?.shadowRoot?.querySelector('.cm-lintRange-error'))
  trouble = trouble.filter(t => !t.includes('400'))
})

await claim('a click on a label value narrows the expression', async () => {
  const page = await open('/query?g0.expr=requests_total&g0.tab=table')
  await page.waitForSelector('button.label')
  await page.evaluate(() => [...document.querySelectorAll('button.label')].find(b => b.textContent.startsWith('path=') && b.textContent.includes('/b')).click())
  await shows(page, '1 series')
})

await claim('text from samples and rules is never markup', async () => {
  const page = await open('/query?g0.expr=requests_total&g0.tab=table')
  await shows(page, 'onerror=alert(1)')
  await shows(await open('/alerts'), '<script>alert(1)</script>')
  await shows(await open('/explore'), '<b>answered</b>')
})

await claim('the plan of a query shows what it read', async () => {
  await shows(await open('/query?g0.expr=sum(requests_total)&g0.tab=explain'), 'aggregation', 'selector')
})

/** Clicks on a button of the page by its text. */
async function press(page, text) {
  await page.waitForFunction(t => [...document.querySelectorAll('button')].some(b => b.textContent === t), { timeout: 10_000 }, text)
  await page.evaluate(t => [...document.querySelectorAll('button')].find(b => b.textContent === t).click(), text)
}

await claim('a snapshot is made, listed and deleted', async () => {
  const page = await open('/keep')
  await shows(page, 'There are no snapshots.')
  await press(page, 'Make a snapshot')
  await shows(page, 'Only in snapshots')
  await axeFinds(page)
  await press(page, 'Delete')
  await shows(page, 'Delete snapshot 20')
  await press(page, 'Delete')
  await shows(page, 'There are no snapshots.')
})

await claim('bytes in parts are shown by metric and label', async () => {
  const page = await open('/explore')
  await page.click('.check input')
  await shows(page, 'Bytes in parts', 'Per sample')
  await axeFinds(page)
  await shows(await open('/tsdb-status'), 'Bytes in parts by label and value', 'job=web')
})

await claim('lines of the log are shown by level', async () => {
  const page = await open('/status')
  await shows(page, 'snapshot created')
  await page.select('section[aria-label="Log"] select', 'error')
  await page.waitForFunction(() => !document.body.innerText.includes('snapshot created'))
})

await claim('a pasted configuration is checked', async () => {
  const page = await open('/config')
  await page.waitForSelector('textarea')
  await page.type('textarea', 'web: {enable_admin_api: true}\nretention: {tim: 1y}')
  await press(page, 'Check')
  await shows(page, 'Line 2, column 13', "unknown key 'tim'")
  await axeFinds(page)
  await page.keyboard.press('Backspace')
  await page.$eval('textarea', t => {
    t.value = 'retention: {time: 1y}\nwal: {segment_bytes: 8MiB}'
    t.dispatchEvent(new Event('input', { bubbles: true }))
  })
  await press(page, 'Check')
  await shows(page, 'retention.time', '10y', 'wal.segment_bytes', 'restart', 'Some need a restart')
  await axeFinds(page)
})

await claim('200 refreshes leave no errors', async () => {
  const page = await open('/query?g0.expr=requests_total&g0.tab=graph')
  await page.waitForSelector('.chart canvas')
  for (let i = 0; i < 200; i++) {
    const answered = page.waitForResponse(r => r.url().includes('query_range'))
    await page.click('.ask .primary')
    await answered
  }
  await page.waitForSelector('.chart canvas')
})

await claim('series are deleted after a preview', async () => {
  const page = await open('/keep')
  const field = 'section[aria-label="Delete series"] input'
  await page.waitForSelector(field)
  await page.type(field, 'requests_total{path="/a"}')
  await page.keyboard.press('Tab')
  await press(page, 'Preview')
  await shows(page, '1 series, 241 samples')
  await press(page, 'Delete')
  await shows(page, 'This cannot be undone')
  await axeFinds(page)
  await press(page, 'Delete')
  await shows(page, 'The samples are hidden')
  await shows(await open('/query?g0.expr=count(count_over_time(requests_total[2h]))&g0.tab=table'), '1 series', '2')
})

/** Some errors in the browser are part of a claim. */
const forgive = words => (trouble = trouble.filter(t => !t.includes(words)))
await sessionClaims({ browser, claim, open, shows, expect, axeFinds, forgive })

await browser.close()
process.exit(failures > 0 ? 1 : 0)
