// images.mjs - the pictures of docs/images, with the server at $URL, for tests/images.sh.

import puppeteer from 'puppeteer-core'

const { URL: url, CHROMIUM, OUT, ONLY } = process.env
const wide = { width: 1280, height: 800 }
const phone = { width: 390, height: 780, deviceScaleFactor: 1.5, isMobile: true }
const query = values => '/query?' + new URLSearchParams({ 'g0.range_input': '3h', ...values })

/** A picture: the page, its size and theme, what it waits for, and what is done before. */
const pictures = [
  {
    name: 'query-graph',
    path: query({ 'g0.expr': 'sum by (page, method) (rate(shop_request_seconds_count{job="shop"}[5m]))', 'g0.tab': 'graph', 'g0.display_mode': 'stacked' }),
    theme: 'dark',
    waits: '.chart canvas',
  },
  {
    name: 'query-heatmap',
    path: query({ 'g0.expr': 'rate(shop_request_seconds{job="nhcb"}[5m])', 'g0.tab': 'graph', 'g0.display_mode': 'heatmap' }),
    waits: '.heatmap canvas',
  },
  {
    name: 'query-plan',
    path: query({ 'g0.expr': 'sum by (instance) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))', 'g0.tab': 'explain' }),
    waits: 'table.plan',
  },
  {
    name: 'query-parts',
    path: query({ 'g0.expr': 'rate(shop_request_seconds_count{job="shop"}[5m]) / on (page) group_left () sum by (page) (rate(shop_request_seconds_count{job="shop"}[5m]))', 'g0.tab': 'tree' }),
    theme: 'dark',
    waits: 'text:label sets with a partner',
    clicks: ['.pairs summary'],
  },
  { name: 'dashboard', path: '/dashboards?dashboard=node&range_input=3h', size: { width: 1280, height: 560 }, waits: '.chart canvas', from: 'Processors and memory' },
  { name: 'dashboard-phone', path: '/dashboards?dashboard=node&range_input=3h', size: phone, theme: 'dark', waits: '.chart canvas', from: 'Processors and memory' },
  { name: 'explore', path: '/explore?metric=shop_request_seconds_bucket', waits: 'text:First sample', clicks: ['summary', 'section[aria-label="Growth and churn"] button'] },
  { name: 'alerts', path: '/alerts', theme: 'dark', waits: 'text:firing' },
  { name: 'keep', path: '/keep', theme: 'dark', waits: 'text:Retention edge', settles: 20_000 },
  { name: 'keep-phone', path: '/keep', size: phone, waits: 'text:Retention edge' },
  { name: 'destinations', path: '/destinations', waits: 'text:second-site', settles: 20_000 },
  {
    name: 'tools',
    path: '/tools?' + new URLSearchParams({ series: 'up{job="node-exporter", instance="one:9100", pod_id="7", replica="a"}', rules: 'relabel:\n- source_labels: [job]\n  regex: (.+)-exporter\n  target_label: job\n- action: labeldrop\n  regex: pod_.*\n' }),
    waits: 'text:Sent',
  },
]

const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-background-networking', '--hide-scrollbars'] })
for (const p of pictures.filter(p => new RegExp(ONLY ?? '').test(p.name))) {
  const page = await browser.newPage()
  page.setDefaultTimeout(120_000)
  await page.setViewport(p.size ?? wide)
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: p.theme ?? 'light' }])
  await page.emulateTimezone('UTC')
  await page.goto(url + p.path, { waitUntil: 'load' })
  if (p.waits.startsWith('text:')) await page.waitForFunction(t => document.body.innerText.includes(t), {}, p.waits.slice(5))
  else await page.waitForSelector(p.waits)
  await page.waitForNetworkIdle({ idleTime: 1000 })
  for (const selector of p.clicks ?? []) {
    await page.click(`main ${selector}`)
    await page.waitForNetworkIdle({ idleTime: 1000 })
  }
  if (p.from) {
    await page.evaluate(t => [...document.querySelectorAll('main h2, main h3, main a, main b, main summary')].find(e => e.textContent === t).scrollIntoView(), p.from)
    await page.waitForNetworkIdle({ idleTime: 1000 })
  }
  if (p.settles) await new Promise(resolve => setTimeout(resolve, p.settles)) // rates need a second reading
  await page.screenshot({ path: `${OUT}/${p.name}.png` })
  console.log(p.name)
  await page.close()
}
await browser.close()
