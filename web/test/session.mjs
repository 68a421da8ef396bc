// session.mjs - signing in and out, and tenants, with the server at $USERS_URL, which has users: ann
// reads the tenants shop and lab, bob the tenant shop, eve only its series {team="open"}, ops may do
// everything. Their passwords are
// "hidden". $USERS_FILE is its configuration; in $OTHER_FILE ann has the password "changed". $USERS_PID
// is its process, which the last claim replaces.

import { spawn } from 'node:child_process'
import { copyFileSync, readFileSync, readlinkSync } from 'node:fs'

const url = process.env.USERS_URL

async function signIn(page, user, password) {
  await page.waitForSelector('main.sign-in')
  await page.click('input[autocomplete=username]', { count: 3 })
  await page.type('input[autocomplete=username]', user)
  await page.type('input[autocomplete=current-password]', password)
  await page.click('main.sign-in button[type=submit]')
}

const pause = () => new Promise(resolve => setTimeout(resolve, 50))

/** Waits until the server is ready. */
async function serves() {
  while (!(await fetch(`${url}/-/ready`).then(r => r.ok, () => false))) await pause()
}

/** Says whether a process runs: one that ended stays as a zombie until its parent asks for it. */
function runs(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Stops the server; returns a function that starts it again as it was, and returns its process. */
async function stop() {
  const pid = Number(process.env.USERS_PID)
  const [program, ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  const cwd = readlinkSync(`/proc/${pid}/cwd`)
  process.kill(pid)
  // Until it has ended it answers on connections that are open.
  while (runs(pid)) await pause()
  return async () => {
    const server = spawn(program, rest, { cwd, stdio: 'ignore' })
    await serves()
    return server
  }
}

async function isGone(page, selector) {
  await page.waitForFunction(s => document.querySelector(s) === null, { timeout: 10_000 }, selector)
}

async function click(page, selector, text) {
  await page.waitForFunction((s, t) => [...document.querySelectorAll(s)].some(e => e.textContent === t), { timeout: 10_000 }, selector, text)
  await page.evaluate((s, t) => [...document.querySelectorAll(s)].find(e => e.textContent === t).click(), selector, text)
}

async function editorText(page) {
  return page.evaluate(() => document.querySelector('.expression > div')?.shadowRoot?.querySelector('.cm-content')?.textContent)
}

/** Makes the server read a configuration. */
async function reload(file) {
  copyFileSync(file, process.env.USERS_FILE)
  const response = await fetch(`${url}/-/reload`, { method: 'POST', headers: { Authorization: 'Bearer abc' } })
  if (!response.ok) throw new Error(`reload: ${response.status}`)
}

export async function sessionClaims({ browser, claim, open, shows, expect, axeFinds, forgive }) {
  /** Opens a page in a browser that has no cookies. */
  const visit = async (path, size) => open(path, size, url, await browser.createBrowserContext())
  const cookies = async page => (await page.browserContext().cookies()).filter(c => c.name.startsWith('firekeep-'))

  await claim('without a session the page has a form, and axe finds nothing', async () => {
    const page = await visit('/query?g0.expr=up&g0.tab=table')
    await shows(page, 'Sign in to Firekeep', 'Password')
    for (const theme of ['light', 'dark']) {
      await page.evaluate(t => (document.documentElement.dataset.theme = t), theme)
      await axeFinds(page)
    }
    await page.setViewport({ width: 360, height: 740 })
    expect((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360, 'it is too wide for a phone')
    forgive('401')
  })

  await claim('a wrong password is refused, and the browser does not ask for another', async () => {
    const page = await visit('/query')
    const refused = page.waitForResponse(r => r.url().endsWith('/api/v1/session') && r.request().method() === 'POST')
    await signIn(page, 'ann', 'wrong')
    const response = await refused
    expect(response.status() === 401, String(response.status()))
    expect(response.headers()['www-authenticate'].startsWith('Session '), response.headers()['www-authenticate'])
    await shows(page, 'The user or the password is wrong.')
    expect((await page.$eval('input[type=password]', i => i.value)) === '', 'the wrong password is left')
    await signIn(page, 'ann', 'hidden')
    await shows(page, 'Sign out')
    forgive('401')
  })

  await claim('a session shows data, and no script or address has a secret', async () => {
    const page = await visit('/query?g0.expr=shop_metric&g0.tab=table&tenant=shop')
    await signIn(page, 'ann', 'hidden')
    await shows(page, 'ann', 'shop_metric', '1 series')
    const kept = await cookies(page)
    expect(kept.length === 1 && kept[0].httpOnly && kept[0].sameSite === 'Strict', JSON.stringify(kept))
    const seen = await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + location.href)
    expect(!seen.includes('hidden') && !seen.includes(kept[0].value) && !seen.includes('firekeep-'), seen)
    forgive('401')
  })

  await claim('a token signs in', async () => {
    const page = await visit('/status')
    await page.waitForSelector('main.sign-in')
    await click(page, 'main.sign-in button', 'Token')
    await page.type('main.sign-in input[type=password]', 'abc')
    await page.click('main.sign-in button[type=submit]')
    await shows(page, 'ops', 'API as Prometheus')
    forgive('401')
  })

  await claim('only what the user may do is offered', async () => {
    const links = page => page.evaluate(() => [...document.querySelectorAll('nav a')].map(a => a.textContent).join(' '))
    const reader = await visit('/status')
    await signIn(reader, 'bob', 'hidden')
    await shows(reader, 'Most expensive')
    expect((await links(reader)) === 'Query Dashboards Explore Alerts Rules Status', await links(reader))
    expect((await reader.$$('[role=tab]')).length === 1, 'tabs of the process are offered')
    await reader.goto(`${url}/keep`)
    await shows(reader, 'bob is not permitted to see this page')
    const ops = await visit('/keep')
    await signIn(ops, 'ops', 'hidden')
    await shows(ops, 'samples')
    expect((await links(ops)) === 'Query Dashboards Explore Alerts Rules Keep Destinations Tools Status', await links(ops))
    forgive('401')
  })

  await claim('a user of some series sees and is offered nothing of the others', async () => {
    const page = await visit('/query?g0.expr=%7B__name__%3D~%22.%2B%22%7D&g0.tab=table')
    const told = []
    page.on('response', async r => {
      const text = r.url().includes('/api/') ? await r.text().catch(() => '') : ''
      if (/secret|shop_metric/.test(text)) told.push(`${r.url()}: ${text.slice(0, 200)}`)
      if (r.status() >= 400 && r.status() !== 401) told.push(`${r.status()} ${r.url()}`)
    })
    await signIn(page, 'eve', 'hidden')
    await shows(page, 'eve', 'sees some series only', 'open_total', '1 series')
    for (const tab of ['Graph', 'Raw', 'Parts', 'Why', 'Table']) {
      await click(page, '[role=tab]', tab)
      await page.waitForNetworkIdle({ idleTime: 100 })
    }
    const offered = await page.$$eval('nav a', all => all.map(a => a.textContent))
    expect(offered.join(' ') === 'Query Dashboards Explore Alerts Rules Status', offered.join(' '))
    for (const name of offered) {
      await click(page, 'nav a', name)
      await page.waitForNetworkIdle({ idleTime: 100 })
    }
    for (const path of ['explore?metric=open_total', 'explore?metric=hidden_total', 'targets', 'queries', 'tsdb-status', 'config', 'keep']) {
      await visit(`/${path}`)
      expect(!/place|shop_metric/.test(await page.evaluate(() => document.body.innerText)), `${path} shows hidden series`)
    }
    expect(told.length === 0, told.join('; '))
    forgive('401')
  })

  await claim('when a session ends, the form comes, and the page goes on where it was', async () => {
    const page = await visit('/query')
    await signIn(page, 'ann', 'hidden')
    await page.waitForFunction(() => document.querySelector('.expression > div')?.shadowRoot?.querySelector('.cm-content'))
    await page.evaluate(() => document.querySelector('.expression > div').shadowRoot.querySelector('.cm-content').focus())
    await page.keyboard.type('count(shop_metric)')
    await page.keyboard.press('Escape')
    await reload(process.env.OTHER_FILE) // not while it is typed: completions would end the session there
    await page.keyboard.press('Enter')
    await shows(page, 'The session has ended')
    expect(!(await page.evaluate(() => document.querySelector('.frame').checkVisibility())), 'data are shown without a session')
    await signIn(page, 'ann', 'changed')
    await isGone(page, 'main.sign-in')
    expect((await editorText(page)) === 'count(shop_metric)', await editorText(page))
    await shows(page, '1 series')
    forgive('401')
  })

  await claim('another user does not get the page of the one before', async () => {
    const page = await visit('/explore?tenant=lab')
    await signIn(page, 'ann', 'changed')
    await shows(page, 'lab_metric')
    await page.browserContext().deleteCookie(...(await cookies(page)))
    await click(page, 'nav a', 'Alerts')
    await signIn(page, 'bob', 'hidden')
    await isGone(page, 'main.sign-in')
    await click(page, 'nav a', 'Explore')
    await shows(page, 'bob', 'shop_metric')
    expect(!(await page.evaluate(() => document.body.textContent.includes('lab_metric'))), 'data of the user before')
    forgive('401')
  })

  await claim('sign-out removes data and cookie, and ends the session', async () => {
    const page = await visit('/explore?tenant=lab')
    await signIn(page, 'ann', 'changed')
    await shows(page, 'lab_metric')
    const [cookie] = await cookies(page)
    await click(page, '.who button', 'Sign out')
    await shows(page, 'Sign in to Firekeep')
    expect(!(await page.evaluate(() => document.body.textContent.includes('lab_metric'))), 'data are left')
    expect((await cookies(page)).length === 0, 'the cookie is left')
    const copy = await fetch(`${url}/api/v1/session`, { headers: { Cookie: `${cookie.name}=${cookie.value}` } })
    expect(copy.status === 401, `a copy of the cookie: ${copy.status}`)
    forgive('401')
  })

  await claim('two users have sessions at the same time', async () => {
    const ann = await visit('/explore?tenant=lab')
    const bob = await visit('/explore')
    await signIn(ann, 'ann', 'changed')
    await signIn(bob, 'bob', 'hidden')
    await shows(ann, 'ann', 'lab_metric')
    await shows(bob, 'bob', 'shop_metric')
    await click(ann, '.who button', 'Sign out')
    await shows(ann, 'Sign in to Firekeep')
    await bob.reload({ waitUntil: 'load' })
    await shows(bob, 'bob', 'shop_metric')
    forgive('401')
  })

  await claim('tabs of a browser follow who signs in and out', async () => {
    const one = await visit('/explore?tenant=lab')
    await signIn(one, 'ann', 'changed')
    await shows(one, 'ann', 'lab_metric')
    const other = await open('/rules', undefined, url, one.browserContext())
    await shows(other, 'ann')
    await click(other, '.who button', 'Sign out')
    await one.bringToFront()
    await shows(one, 'Sign in to Firekeep')
    expect(!(await one.evaluate(() => document.body.textContent.includes('lab_metric'))), 'data are left')
    await other.bringToFront()
    await signIn(other, 'bob', 'hidden')
    await one.bringToFront()
    await shows(one, 'bob', 'shop_metric')
    expect(!(await one.evaluate(() => document.body.textContent.includes('lab_metric'))), 'data of the user before')
    forgive('401')
  })

  await claim('the tenant is chosen, in the address, and stays there', async () => {
    const page = await visit('/explore')
    await signIn(page, 'ann', 'changed')
    await shows(page, 'shop_metric')
    expect(new URL(page.url()).searchParams.get('tenant') === 'shop', page.url())
    const tenants = await page.evaluate(() => [...document.querySelectorAll('nav label')].find(l => l.textContent.startsWith('Tenant')).querySelector('select').id = 'tenants')
    await page.select(`#${tenants}`, 'lab')
    await shows(page, 'lab_metric')
    expect(new URL(page.url()).searchParams.get('tenant') === 'lab', page.url())
    await click(page, 'nav a', 'Query')
    await page.waitForFunction(() => location.pathname.endsWith('/query'))
    expect(new URL(page.url()).searchParams.get('tenant') === 'lab', page.url())
    await page.goto(`${url}/query?g0.expr=lab_metric&g0.tab=table&tenant=lab`)
    await shows(page, '1 series')
    await axeFinds(page)
    forgive('401')
  })

  await claim('a user of all tenants types one, or several', async () => {
    const page = await visit('/query?g0.expr=%7B__name__%3D~%22.*_metric%22%7D&g0.tab=table')
    await signIn(page, 'ops', 'hidden')
    await shows(page, 'Choose a tenant')
    await page.evaluate(() => ([...document.querySelectorAll('nav label')].find(l => l.textContent.startsWith('Tenant')).querySelector('input').id = 'tenant'))
    await page.type('#tenant', 'shop|lab\n')
    await shows(page, '2 series', 'shop_metric', 'lab_metric')
    // Usage and bytes are those of one tenant.
    await page.goto(`${url}/explore?usage=unused&tenant=shop%7Clab`)
    await shows(page, 'shop_metric', 'lab_metric')
    expect(!/Usage|Series and bytes|invalid/.test(await page.evaluate(() => document.body.innerText)), 'what several tenants cannot have is offered')
    forgive('401')
  })
  await claim('tenants are listed with their samples', async () => {
    const page = await visit('/tenants?tenant=shop')
    await signIn(page, 'ops', 'hidden')
    await shows(page, '2 tenants', 'shop', 'lab', 'Refused')
    await axeFinds(page)
    forgive('401')
  })

  await claim('after a restart of the server the page asks again, and goes on', async () => {
    const page = await visit('/query?g0.expr=shop_metric&g0.tab=table')
    await signIn(page, 'bob', 'hidden')
    await shows(page, '1 series')
    const start = await stop()
    await page.click('.ask .primary')
    await shows(page, 'The server does not answer', '1 series')
    const server = await start()
    try {
      await page.click('.ask .primary')
      await shows(page, 'The session has ended')
      await signIn(page, 'bob', 'hidden')
      await shows(page, '1 series')
    } finally {
      server.kill()
    }
    forgive('401')
    forgive('503') // it is asked while it starts
    forgive('ERR_CONNECTION')
  })
}
