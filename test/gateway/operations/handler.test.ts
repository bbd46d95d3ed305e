import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { presentedToken } from '../../../src/gateway/operations/access.ts'
import { PAGE_PATHS } from '../../../src/gateway/operations/handler.ts'
import { statusPage } from '../../../src/gateway/operations/page/page.ts'
import { LedgerError } from '../../../src/ledger/errors.ts'
import { override } from '../../exporter/support.ts'
import { NOW } from '../../metering/support.ts'
import { Scene } from './support.ts'

const TOKEN = 'a-long-token'
const authorize = (request: Parameters<typeof presentedToken>[0]) =>
  presentedToken(request) === TOKEN ? 'granted' : 'unknown'
const throwing = () => {
  throw new Error('no keys')
}
const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

/** As a client that calls the server by another name. */
function getAs(scene: Scene, host: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(scene.url + path, { headers: { host } }, response => {
      response.resume()
      resolve(response.statusCode)
    })
    request.on('error', reject).end()
  })
}

test('the process lives, and is ready or says why not', async t => {
  let full = false
  const scene = await Scene.start(t, {
    bench: { now: NOW },
    checks: [
      {
        name: 'disk',
        check: () => {
          if (full) throw new Error('there are 12 MB left')
        },
      },
    ],
  })
  const read = async (path: string) => {
    const response = await scene.get(path)
    return [response.status, await response.text()]
  }
  assert.deepEqual(await read('/healthz'), [200, 'ok\n'])
  assert.deepEqual(await read('/readyz'), [200, '[+]disk ok\nready\n'])
  full = true
  assert.deepEqual(await read('/readyz?verbose'), [200, '[+]disk ok\nready\n'], 'for a second')
  scene.bench.now += 1000
  assert.deepEqual(await read('/readyz'), [503, '[-]disk failed: there are 12 MB left\nnot ready\n'])
  assert.deepEqual(await read('/healthz'), [200, 'ok\n'])
})

test('whoever has no token sees nothing of customers; a browser may give it as a password', async t => {
  const check = () => Promise.reject(new Error('s3cret detail'))
  const scene = await Scene.start(t, { bench: { now: NOW }, authorize, checks: [{ name: 'disk', check }] })
  for (const path of ['/', '/status.json', '/customers.json?find=1', '/metrics']) {
    for (const headers of [
      {},
      { authorization: `Bearer ${TOKEN}x` },
      basic(`me:${TOKEN}x`),
      basic(TOKEN),
      { authorization: TOKEN },
    ]) {
      const response = await scene.get(path, { headers })
      assert.equal(response.status, 401, path)
      assert.match(response.headers.get('www-authenticate') ?? '', /^Basic realm="marketplace-meter"/)
      assert.equal(
        await response.text(),
        'Expected a bearer token, or in a browser the token as the password of any user.\n',
      )
    }
    for (const headers of [
      { authorization: `Bearer ${TOKEN}` },
      { authorization: `bearer ${TOKEN}` },
      basic(`me:${TOKEN}`),
    ]) {
      assert.equal((await scene.get(path, { headers })).status, 200, path)
    }
  }
  assert.equal(await (await scene.get('/readyz')).text(), '[-]disk failed: reason withheld\nnot ready\n')
  const headers = { authorization: `Bearer ${TOKEN}` }
  assert.match(await (await scene.get('/readyz', { headers })).text(), /s3cret detail/)
  assert.equal((await scene.get('/healthz')).status, 200)
})

test('without a token the page is for this machine only, also where a name is made to lead here', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  const port = new URL(scene.url).port
  for (const path of ['/', '/status.json', '/customers.json?find=1']) {
    for (const host of [
      'localhost',
      `localhost:${port}`,
      'me.localhost',
      '127.0.0.1',
      `127.1.2.3:${port}`,
      '[::1]:80',
    ]) {
      assert.equal(await getAs(scene, host, path), 200, host)
    }
    for (const host of ['evil.example', 'localhost.evil.example', '10.0.0.1', '127.0.0.1.evil.example']) {
      assert.equal(await getAs(scene, host, path), 403, host)
    }
  }
  assert.deepEqual([...PAGE_PATHS], ['/', '/status.json', '/customers.json'], 'what is off without the page')
  // Neither names a customer, and probes and Prometheus come by the pod's address.
  for (const path of ['/healthz', '/readyz', '/metrics']) assert.equal(await getAs(scene, '10.0.0.1', path), 200)
})

test('without a token the page is for this machine alone, whatever a request from elsewhere calls it', async t => {
  const elsewhere = Object.values(networkInterfaces())
    .flat()
    .find(own => own?.family === 'IPv4' && !own.internal)?.address
  const here = await Scene.start(t, { bench: { now: NOW } })
  for (const path of ['/', '/status.json', '/customers.json?find=1']) {
    const proxied = await here.get(path, { headers: { 'x-forwarded-for': '10.0.0.1' } })
    assert.equal(proxied.status, 403)
  }
  if (elsewhere === undefined) return
  const there = await Scene.start(t, { bench: { now: NOW }, host: elsewhere })
  for (const path of ['/', '/status.json', '/customers.json?find=1'])
    assert.equal(await getAs(there, 'localhost', path), 403)
})

test('a token for some customers shows nothing of all', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW }, authorize: () => 'forbidden' })
  for (const path of ['/', '/status.json', '/customers.json?find=1', '/metrics']) {
    const response = await scene.get(path)
    assert.equal(response.status, 403)
    assert.match(await response.text(), /^This token is for some customers' usage\./)
  }
  assert.equal((await scene.get('/healthz')).status, 200)
})

test('everything else is left to others', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  for (const path of ['/v1/metrics', '/status', '/index.html', '//', '/__proto__', '/constructor']) {
    const response = await scene.get(path)
    assert.deepEqual([response.status, await response.text()], [404, 'not one of the operations'], path)
  }
})

test('only GET and HEAD', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  for (const path of ['/', '/status.json', '/customers.json?find=1', '/metrics', '/healthz', '/readyz']) {
    const post = await scene.get(path, { method: 'POST', body: 'x'.repeat(100_000) })
    assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD'])
    await post.text()
    const [head, get] = [await scene.get(path, { method: 'HEAD' }), await scene.get(path)]
    assert.deepEqual([head.status, await head.text()], [200, ''])
    assert.equal(head.headers.get('content-length'), String(Buffer.byteLength(await get.text())))
  }
})

test('nothing is cached, guessed, framed or fetched from elsewhere', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  for (const path of ['/', '/status.json', '/customers.json?find=1', '/metrics', '/healthz', '/readyz']) {
    const { headers } = await scene.get(path)
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.match(headers.get('content-security-policy') ?? '', /^default-src 'none'; .*frame-ancestors 'none'$/)
  }
  const policy = (await scene.get('/')).headers.get('content-security-policy') ?? ''
  assert.match(policy, /script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'; img-src data:;/)
  assert.doesNotMatch(policy, /unsafe|\*|https?:/)
  const { html } = await statusPage()
  assert.doesNotMatch(html, /(src|href)="(https?:)?\/\//)
  assert.doesNotMatch(html, / on\w+=| style="/)
})

test('a ledger that does not answer is told as what it is', async t => {
  const asked = Promise.withResolvers<void>()
  const scene = await Scene.start(t)
  const silent = await Scene.start(t, {
    ledger: override(scene.bench.ledger, {
      statement: () => {
        asked.resolve()
        return new Promise(() => {})
      },
    }),
  })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const answer = silent.get('/status.json')
  await asked.promise
  t.mock.timers.tick(15_000)
  assert.equal(
    ((await (await answer).json()) as { error: string }).error,
    'The ledger cannot be read: LedgerError: no answer within 15 s.',
  )
})

test('a ledger that cannot be read, metrics that fail, a judge that throws: 503, and the process lives', async t => {
  const error = new LedgerError('ERR_LEDGER_IO', 'cannot read the status: disk I/O error')
  let broken = true
  const scene = await Scene.start(t, {
    bench: { now: NOW },
    ledger: {
      status: async () => {
        if (broken) throw error
        return { pending: [], held: [], unattributed: [], waiting: [], notCounted: {} }
      },
      statement: async () => [],
      records: async () => [],
      audit: async () => [],
      agreements: async () => [],
      included: async () => [],
      answers: async () => [],
    },
    metrics: () => Promise.reject(new Error('shut down')),
  })
  const response = await scene.get('/status.json')
  assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '5'])
  assert.deepEqual(await response.json(), {
    error: 'The ledger cannot be read: LedgerError: cannot read the status: disk I/O error.',
  })
  const metrics = await scene.get('/metrics')
  assert.deepEqual([metrics.status, await metrics.text()], [503, 'Error: shut down\n'])
  broken = false
  assert.equal((await scene.get('/status.json')).status, 200)

  const judge = await Scene.start(t, { bench: { now: NOW }, authorize: throwing })
  assert.equal((await judge.get('/status.json')).status, 503)
})

test('a client that goes away harms nobody', async t => {
  const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()]
  const metrics = () => {
    asked.resolve()
    return answered.promise
  }
  const scene = await Scene.start(t, { bench: { now: NOW }, metrics })
  const leaving = new AbortController()
  const gone = assert.rejects(scene.get('/metrics', { signal: leaving.signal }))
  await asked.promise
  leaving.abort()
  await gone
  answered.resolve('')
  assert.equal((await scene.get('/healthz')).status, 200)
})
