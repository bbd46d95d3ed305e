import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Script } from 'node:vm'
import axe from 'axe-core'
import type { Browser, Page } from 'puppeteer-core'
import { presentedToken } from '../../../src/gateway/operations/access.ts'
import type { OperationsOptions } from '../../../src/gateway/operations/handler.ts'
import { statusPage } from '../../../src/gateway/operations/page/page.ts'
import { LedgerError } from '../../../src/ledger/errors.ts'
import { customer, HOUR, MINUTE, NOW } from '../../metering/support.ts'
import {
  complaintsOf,
  LOW_CONTRAST,
  loaded,
  open,
  picture,
  resize,
  SCHEMES,
  STICKING_OUT,
  shows,
  startBrowser,
  WIDTHS,
} from './browser.ts'
import { HOSTILE, HOSTILE_DIMENSION, restored, Scene, trouble } from './support.ts'

const OPEN_ALL = `for (const details of document.querySelectorAll('details')) details.open = true`
const prefer = (page: Page, scheme: string) =>
  page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
const text = (page: Page, selector: string) =>
  page.$eval(selector, element => (element as { innerText?: string }).innerText ?? '')

test('the script is one that a browser takes, and makes no HTML of what it is given', async () => {
  const { html } = await statusPage()
  const [, script = ''] = /<script>(.*)<\/script>/s.exec(html) ?? []
  assert.match(script, /^'use strict';\(function /)
  new Script(script)
  assert.doesNotMatch(script, /<\/?script|innerHTML|insertAdjacent|document\.write|eval/i)
})

test('in a browser', async t => {
  const browser = await startBrowser(t)
  if (browser === undefined) return
  const healthy = await Scene.start(t, { checks: [{ name: 'ledger', check: () => {} }] })
  await healthy.business()
  const troubled = await trouble(t)
  const empty = await Scene.start(t, { bench: { now: NOW } })

  await t.test('it says that all is well, with the figures of the ledger', async t => {
    const page = await open(t, browser, healthy.url)
    await loaded(page)
    assert.equal(await text(page, 'h1'), 'Everything that was measured is billed or on its way.')
    assert.equal(await page.title(), 'OK marketplace-meter')
    const { totals } = await healthy.status()
    for (const [index, dimension] of totals.dimensions.entries()) {
      const card = await text(page, `#usage article:nth-child(${index + 1})`)
      for (const figure of ['recorded', 'metered', 'pending', 'held', 'balance'] as const) {
        assert.match(card, new RegExp(`${figure}\\s+${dimension[figure].quantity.replaceAll('.', '\\.')}\\b`, 'i'))
      }
      assert.match(card, /Adds up for each of 5 accounts\./)
    }
    assert.match(await text(page, '#usage'), /tokens\s+in units of 1,000 tokens/)
    const byModel = await text(page, '#usage article:first-child .split')
    const line = (value: string) => `\\s+${value}\\s+[\\d,]+\\s+\\d+\\.\\d %`
    assert.match(
      byModel,
      new RegExp(`^By model last 48 hours.*${line('small')}${line('large')}${line('others, or none')}$`, 's'),
    )
    assert.equal((await page.$$('#hours li.settled[title]')).length, 37)
    assert.equal(
      await page.$eval('#hours li.open[title]', cell => cell.getAttribute('title')),
      '12:00: open, closes at 13:05',
    )
    assert.equal(
      await page.$eval('#hours [aria-labelledby="day-2026-06-10"] li', cell => cell.getAttribute('title')),
      '00:00: 15 records, 15 metered',
    )
    assert.match(await text(page, '#held'), /^Nothing is held\./)
    assert.match(
      await text(page, '#reconciled'),
      /^us-east-1: not reconciled with AWS yet:\s+marketplace-meter reconcile --cloudtrail --region us-east-1 --ledger/,
    )
    assert.match(await text(page, '#gateway'), /Last \d+ s ago, measured 4\.0 s before/)
    assert.deepEqual(complaintsOf(page), [])
  })

  await t.test('it says what is wrong and how to settle it', async t => {
    const page = await open(t, browser, troubled.url)
    await loaded(page)
    assert.equal(await text(page, 'h1'), 'AT RISK: Usage of 5 h ago has not been billed.')
    assert.match(await text(page, '#headline'), /AWS cannot be reached .*ECONNREFUSED/)
    const { held } = await troubled.status()
    const groups = await page.$$eval('#held .group', all =>
      all.map(group => (group as { innerText?: string }).innerText),
    )
    assert.equal(groups.length, held.length)
    for (const [index, { cause, means, commands, shown }] of held.entries()) {
      const said = [cause, means, ...commands.map(({ command }) => command), ...shown.map(({ id }) => id)]
      for (const part of said) assert.ok(groups[index]?.includes(part), `${part} in ${groups[index]}`)
    }
    const rows = await page.$$eval('#customers tbody tr', all =>
      all.map(row => (row as { innerText?: string }).innerText),
    )
    assert.match(rows[0] ?? '', /^100000000003 prod-inference\s+–\s+9 Jun 15:00 21 h ago\s+15 pending, 1 held\s/)
    assert.match(rows[4] ?? '', /^100000000005 licence l-0+5 prod-inference/)
    assert.match(
      await text(page, '#unattributed'),
      /marketplace-meter attribute <account> <dimension> --account-id <id>/,
    )
    assert.match(await text(page, '#unattributed'), /the data points name no customer\s+tokens\s+12\.5/)
    assert.match(await text(page, '#gateway'), /credentials: the role has expired: renew it/)
  })

  await t.test('a customer is found, with its units by hour, its records and the way to CloudTrail', async t => {
    const page = await open(t, browser, troubled.url)
    await loaded(page)
    const look = async (name: string) => {
      await page.$eval('#find-text', input => Object.assign(input, { value: '' }))
      await page.type('#find-text', name)
      await page.keyboard.press('Enter')
    }
    await look('nobody')
    await shows(page, '#find-said', /^No customer is called “nobody”, as of 12:19:04\./)
    await look('10000000000')
    await shows(page, '#find-said', /^5 customers are called “10000000000”\.$/)
    assert.equal((await page.$$('#found tbody tr')).length, 5)
    await look('00004')
    await shows(page, '#found h3', /^100000000004 as of 12:19:04$/)
    assert.equal(await text(page, '#find-said'), '')
    assert.match(String(await page.evaluate('document.activeElement.textContent')), /^100000000004/)
    const said = await text(page, '#found')
    assert.match(said, /^.*\n+product prod-inference · no agreement known\n/)
    assert.match(said, /requests\nin requests\n[\s\S]*?Held\s+2,000,129\s/)
    assert.match(said, /\d+\s+10 Jun 02:00\s+requests\s+2,000,129 requests\s+held: over-maximum\s+never sent\n/)
    assert.match(said, /pending, AWS takes it until 11 Jun 07:00 in 19 h\s+Error: connect ECONNREFUSED/)
    assert.match(said, /requests by hour in requests\n/)
    assert.match(said, /10 Jun 02:00\s+held: over-maximum\s+Look up\s[\s\S]*?\s2,000,129\s/)
    assert.match(said, /records --customer prod-inference,100000000004 --ledger/)
    await page.$$eval('#found .hours[aria-label="requests by hour"] tbody tr', all =>
      (all as unknown as { innerText: string; querySelector(name: string): { click(): void } }[])
        .find(({ innerText }) => innerText.startsWith('10 Jun 02:00'))
        ?.querySelector('button')
        .click(),
    )
    const lookup = '.lookup:not([hidden])'
    assert.match(
      await text(page, lookup),
      /^The hour 10 Jun 02:00\n[\s\S]*aws cloudtrail lookup-events --region us-east-1 /,
    )
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'The hour 10 Jun 02:00')
    assert.match(
      await page.$eval(`${lookup} a`, link => link.getAttribute('href') ?? ''),
      /^https:\/\/us-east-1\.console\.aws\.amazon\.com\/cloudtrailv2\/.*StartTime=2026-06-10T02/,
    )
    await picture(page, 'found')
    // The address names whom: it can be kept, and one goes back by it.
    await page.goBack()
    await shows(page, '#find-said', /^5 customers/)
    await page.$eval('#customers tbody tr a', link => (link as unknown as { click(): void }).click())
    await shows(page, '#found h3', /^100000000003/)
    assert.equal(await page.evaluate('location.hash'), `#customer=${encodeURIComponent(customer(3).key)}`)
    await page.reload()
    await shows(page, '#found h3', /^100000000003/)
    assert.deepEqual(complaintsOf(page), [])
  })

  await t.test('a command is copied by its button, and selected where nothing may be copied', async t => {
    const page = await open(t, browser, troubled.url)
    await loaded(page)
    const [, command = ''] = ((await troubled.status()).held[0]?.commands ?? []).map(one => one.command)
    const button = '#held .commands dd:nth-of-type(2) button'
    const selection = () => page.evaluate('getSelection().toString()')
    assert.equal(await page.$eval(button, one => one.textContent), `Copy ${command}`)
    await page.focus(button)
    await page.keyboard.press('Enter')
    await shows(page, '#said', /^The command is selected: /)
    assert.equal(await selection(), command)
    assert.match(await text(page, button), /^Selected/)
    await page.evaluate('getSelection().removeAllRanges()')
    await page
      .browserContext()
      .overridePermissions(new URL(page.url()).origin, ['clipboard-read', 'clipboard-sanitized-write'])
    await page.keyboard.press('Enter')
    await shows(page, '#said', /^Copied\.$/)
    assert.equal(await page.evaluate('navigator.clipboard.readText()'), command)
    assert.deepEqual([await selection(), await text(page, button)], ['', `Copied\n${command}`])
  })

  await t.test('an hour’s cell counts what its colour means', async t => {
    const scene = await Scene.start(t, { bench: { now: NOW } })
    const { bench } = scene
    await bench.use(
      [1, 2, 3].map(number => customer(number)),
      5,
    )
    bench.simulator.faults.add({ kind: 'unprocessed', rate: 1, customer: customer(2).accountId })
    bench.now += HOUR
    await scene.pass()
    const page = await open(t, browser, scene.url)
    await loaded(page)
    const cells = await page.$$eval('#hours li.sending[title]', all =>
      all.map(cell => [cell.getAttribute('title'), cell.querySelector('.count')?.textContent]),
    )
    assert.deepEqual(cells, [['11:00: 3 records, 2 metered, 1 pending', '1']])
    assert.match(
      await text(page, '#deadline'),
      /^The next deadline is 11 Jun 11:00, in 22 h: AWS takes usage of the hour 10 Jun 11:00 until then\. At stake: 1 record \(5 requests\)\.$/,
    )
    assert.match(await text(page, '#customers'), /11 Jun 11:00 in 22 h\s+at stake: 1 record \(5 requests\)/)
  })

  await t.test('after a restore it says what to compare, and not that an answer never came', async t => {
    const page = await open(t, browser, (await restored(t)).url)
    await loaded(page)
    const said = await text(page, '#held')
    assert.match(said, /restored\s.*since the backup.*settle 1 --billed --quantity <units>/s)
    assert.doesNotMatch(said, /the answer never came/)
  })

  await t.test('it says that more is used than AWS takes in an hour, and what to do', async t => {
    const scene = await Scene.start(t)
    await scene.bench.use(customer(2), 5 * 2_147_483_647)
    scene.bench.now += HOUR
    await scene.pass()
    const page = await open(t, browser, scene.url)
    await loaded(page)
    assert.match(
      await text(page, '#headline'),
      /^Not in time: more of requests is used .*6,442,450,941 requests wait for the next 3 hours.* Sell a larger unit/s,
    )
  })

  await t.test('what is measured can put nothing into the page but text', async t => {
    const scene = await Scene.start(t, {
      bench: {
        send: () => async () => {
          throw Object.assign(new Error(HOSTILE), { name: 'ValidationException' })
        },
      },
      dimensions: [HOSTILE_DIMENSION],
      checks: [{ name: 'ledger', advisory: true, check: () => Promise.reject(new Error(HOSTILE)) }],
    })
    await scene.bench.ledger.register([HOSTILE_DIMENSION])
    const stray = {
      kind: 'unattributed',
      key: HOSTILE,
      product: HOSTILE,
      reason: 'no-customer',
      evidence: HOSTILE,
    } as const
    const customer = {
      kind: 'customer',
      key: `${HOSTILE},customer`,
      product: HOSTILE,
      customerIdentifier: HOSTILE,
    } as const
    await scene.append([stray, customer].map(account => scene.use(account, HOSTILE_DIMENSION, 5)))
    scene.bench.now += HOUR
    await scene.pass()
    const page = await open(t, browser, scene.url)
    await loaded(page)
    for (const part of ['#held', '#customers', '#unattributed', '#headline', '#usage']) {
      assert.ok((await text(page, part)).includes(HOSTILE), `${part}: ${await text(page, part)}`)
    }
    const [images, scripts, bold] = await Promise.all(['img', 'script', 'b'].map(name => page.$$(name)))
    assert.deepEqual([images?.length, scripts?.length, bold?.length], [0, 1, 0])
    assert.equal(await page.title(), '! marketplace-meter')
    // A command that is copied runs nothing but itself.
    assert.match(await text(page, '#unattributed'), /attribute u-\w+ 'x'\\''; reboot; '\\''</)
    // Even a script that had come in would not run.
    await page.evaluate(
      `document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = 1' }))`,
    )
    assert.equal(await page.title(), '! marketplace-meter')
    assert.ok(complaintsOf(page).every(said => /Content Security Policy/.test(said)))
    assert.equal(complaintsOf(page).length, 1)
    await picture(page, 'hostile')
  })

  for (const [state, scene] of Object.entries({ healthy, trouble: troubled, empty })) {
    await t.test(`${state}: it fits and can be read on a phone and on a desk, light and dark`, async t => {
      const page = await open(t, browser, scene.url)
      for (const [device, width] of Object.entries(WIDTHS)) {
        await resize(page, width)
        await loaded(page)
        for (const scheme of SCHEMES) {
          await prefer(page, scheme)
          await picture(page, `${state}-${device}-${scheme}`)
        }
        await page.evaluate(OPEN_ALL)
        for (const scheme of SCHEMES) {
          await prefer(page, scheme)
          assert.deepEqual(await page.evaluate(STICKING_OUT), [], `${device}, ${scheme}`)
          assert.deepEqual(await page.evaluate(LOW_CONTRAST), [], `${device}, ${scheme}`)
        }
        await page.reload()
      }
    })
  }

  await t.test('it can be heard and used with a keyboard', t => accessible(t, browser, troubled))

  await t.test('axe finds nothing in any state', async t => {
    const whom = encodeURIComponent(customer(2).key)
    const states = { healthy: healthy.url, empty: empty.url, trouble: `${troubled.url}/#customer=${whom}` }
    for (const [index, [state, url]] of Object.entries(states).entries()) {
      const page = await open(t, browser, url, { width: index === 1 ? WIDTHS.phone : WIDTHS.desk })
      await loaded(page)
      await prefer(page, SCHEMES[index % 2] ?? 'light')
      if (state === 'trouble') {
        await page.waitForSelector('#found article')
        await page.$eval('#found .hours button', button => (button as unknown as { click(): void }).click())
      }
      await page.evaluate(OPEN_ALL)
      await page.evaluate(axe.source)
      const violations = await page.evaluate(
        `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes.map(one => one.html).join('\\n')))`,
      )
      assert.deepEqual(violations, [], state)
    }
  })

  await t.test('an empty ledger is explained, not shown as nothing', async t => {
    const page = await open(t, browser, empty.url)
    await loaded(page)
    assert.equal(await text(page, 'h1'), 'Nothing has been measured yet.')
    assert.match(await text(page, '#usage'), /gpu-hours\s[\s\S]*Nothing recorded yet\./)
    for (const part of ['#held', '#customers', '#unattributed', '#gateway']) {
      assert.match(
        await text(page, part),
        /Nothing is held|No customer waits|All usage has a customer|Nothing received/,
      )
    }
  })

  await t.test('news come by themselves, and leave alone what has not changed', async t => {
    const scene = await Scene.start(t, { bench: { now: NOW }, refreshInterval: 30 })
    const page = await open(t, browser, scene.url)
    await loaded(page)
    await page.evaluate(
      `document.querySelector('details').open = true; window.cell = document.querySelector('#hours li.idle')`,
    )
    await scene.bench.use(customer(1), 5)
    scene.bench.now += MINUTE
    await shows(page, '#usage', /requests\s+in requests\s[\s\S]*?Recorded\s+5\s/)
    await shows(page, 'h1', /Everything/)
    assert.equal(await page.evaluate(`window.cell.isConnected && document.querySelector('details').open`), true)
    await scene.pass()
    scene.bench.now += 5 * MINUTE
    await shows(page, '#usage', /Metered\s+5\s+100 %/)
    assert.equal(await page.evaluate(`window.cell.isConnected`), false)
  })

  await t.test('nobody asks for a page that nobody looks at', async t => {
    const scene = await Scene.start(t, { bench: { now: NOW }, refreshInterval: 20 })
    const page = await open(t, browser, scene.url)
    const asks = () => page.waitForRequest(request => request.url().endsWith('/status.json'))
    const look = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'))`)
    await loaded(page)
    // It is turned away from while an answer is under way.
    await page.setRequestInterception(true)
    const held = await asks()
    await look(true)
    let asked = 0
    page.on('request', request => {
      asked += 1
      request.continue()
    })
    await held.continue()
    await page.waitForNetworkIdle({ idleTime: 400 })
    assert.equal(asked, 0)
    const asking = asks()
    await look(false)
    await asking
  })

  await t.test('a gateway that is gone, or has no ledger, is told from one that is well', async t => {
    let broken = false
    const scene = await Scene.start(t, { bench: { now: NOW }, refreshInterval: 50, ...fallible(() => broken) })
    const page = await open(t, browser, scene.url)
    await loaded(page)
    broken = true
    scene.bench.now += HOUR
    await shows(
      page,
      '#notice',
      /^The ledger cannot be read: LedgerError: disk I\/O error\. What is shown here is from 12:10:00 UTC\.$/,
    )
    await picture(page, 'stale')
    assert.deepEqual(await page.evaluate(LOW_CONTRAST), [])
    assert.equal(await page.title(), '? marketplace-meter')
    assert.match(await text(page, '#freshness'), /^Stale, from 12:10:00$/)
    broken = false
    await page.waitForSelector('#notice', { hidden: true })
    assert.match(await text(page, '#freshness'), /^13:10:00 UTC, again every 0\.05 s$/)
    await page.setOfflineMode(true)
    await shows(page, '#notice', /^The gateway does not answer\. What is shown here is from 13:10:00 UTC\.$/)
    await page.setOfflineMode(false)
    await page.waitForSelector('#notice', { hidden: true })
  })

  await t.test('with a token, the browser asks for it once, for the page and its data', async t => {
    const authorize = (request: Parameters<typeof presentedToken>[0]) =>
      presentedToken(request) === 'a-token' ? 'granted' : 'unknown'
    const scene = await Scene.start(t, { bench: { now: NOW }, authorize })
    const page = await open(t, browser, scene.url, { password: 'a-token' })
    await loaded(page)
    const stranger = await open(t, browser, scene.url)
    assert.match(await stranger.content(), /Expected a bearer token/)
    // An address with credentials in it is one that fetch refuses.
    const bookmark = await open(t, browser, scene.url.replace('//', '//me:a-token@'))
    await loaded(bookmark)
  })
})

/** A ledger that cannot be read while it is said to be broken. */
function fallible(broken: () => boolean): Pick<OperationsOptions, 'ledger'> {
  const answer =
    <Result>(result: Result) =>
    async () => {
      if (broken()) throw new LedgerError('ERR_LEDGER_IO', 'disk I/O error')
      return result
    }
  const status = answer({ pending: [], held: [], unattributed: [], waiting: [], notCounted: {} })
  const none = answer([])
  return {
    ledger: { status, statement: none, records: none, audit: none, agreements: none, answers: none, included: none },
  }
}

async function accessible(t: TestContext, browser: Browser, scene: Scene): Promise<void> {
  const page = await open(t, browser, scene.url, { width: WIDTHS.phone })
  await loaded(page)
  await page.evaluate(OPEN_ALL)
  const levels = await page.$$eval('h1, h2, h3', all => all.map(heading => Number(heading.tagName.slice(1))))
  assert.equal(levels.filter(level => level === 1).length, 1)
  for (const [index, level] of levels.entries()) assert.ok(level - (levels[index - 1] ?? 0) <= 1, 'no level is skipped')
  assert.deepEqual(await page.$$eval('header, main, footer', all => all.map(({ tagName }) => tagName)), [
    'HEADER',
    'MAIN',
    'FOOTER',
  ])
  // Also where rows are blocks, tables are tables.
  const tables = await page.$$('table')
  assert.ok(tables.length >= 8)
  assert.deepEqual(await page.$$(':is(table, thead, tbody, tr, th, td):not([role])'), [])
  const tree = await page.accessibility.snapshot({ interestingOnly: false })
  const roles = new Map<string, number>()
  const walk = (node: typeof tree) => {
    if (node === null || node === undefined) return
    roles.set(node.role, (roles.get(node.role) ?? 0) + 1)
    if (['table', 'region'].includes(node.role)) assert.ok(node.name, `${node.role} has a name`)
    for (const child of node.children ?? []) walk(child)
  }
  walk(tree)
  assert.equal(roles.get('table'), tables.length)
  for (const role of [
    'columnheader',
    'rowheader',
    'row',
    'cell',
    'banner',
    'main',
    'contentinfo',
    'region',
    'status',
  ]) {
    assert.ok((roles.get(role) ?? 0) > 0, role)
  }
  // Everything that can be operated is reached, in order, and seen when it is.
  const reached: string[] = []
  await page.evaluate('document.activeElement.blur()')
  for (let step = 0; step < 300; step++) {
    await page.keyboard.press('Tab')
    const [name, outline] = (await page.evaluate(`(() => {
      const at = document.activeElement
      return [at.textContent.slice(0, 24), getComputedStyle(at).outlineStyle]
    })()`)) as [string, string]
    reached.push(name)
    assert.equal(outline, 'solid', name)
    if (name === 'metrics') break
  }
  const all = reached.filter((name, index) => name !== reached[index - 1])
  assert.match(all[1] ?? '', /^Copy marketplace-meter/)
  assert.deepEqual([all[0], ...all.slice(2, 5)], ['Skip to the content', '', 'Find', 'Counts of each hour'])
  assert.ok(all.includes('What the words mean'))
  assert.deepEqual(all.slice(-2), ['status.json', 'metrics'])
}
