import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { NAMESPACE } from '../../examples/aws/embedded-metric-exporter.ts'
import { SqliteLedger } from '../../src/index.ts'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { freePort } from '../free-port.ts'
import { DynamoDBLocal, withoutJava } from '../ledger/dynamodb/server.ts'
import { clockAhead } from './aws-clock-ahead.ts'
import { baseImages, build, type Image } from './aws-dockerfile.ts'

const CODE = 'example-product-code'
const ACCOUNT = '111122223333'
const LICENCE = 'arn:aws:license-manager::294406891311:license:l-00000000000000000000000000000001'
const HOUR = 3_600_000

const folder = mkdtempSync(join(tmpdir(), 'image-'))
let image: Image
before(async () => {
  image = await build(folder)
})
after(() => rmSync(folder, { recursive: true, force: true }))

test('the image is small, runs as nobody, and has its ledger on a volume', () => {
  assert.deepEqual(
    [image.user, image.stopSignal, image.volumes, image.expose],
    ['node', 'SIGTERM', ['/ledger'], ['8080']],
  )
  assert.ok(image.env.MARKETPLACE_LEDGER?.startsWith('/ledger/'))
  const [base = ''] = baseImages()
  const [, major, minor] = /^node:(\d+)\.(\d+)\.\d+-[\w-]*slim$/.exec(base) ?? []
  assert.ok(Number(major) === 24 && Number(minor) >= 15, `${base} is one version, from 24.15 on`)
})

test('only production dependencies are in it, in the versions of the lock file', () => {
  const packages = join(image.root, image.workdir, 'node_modules')
  const locked = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')).packages
  const installed = JSON.parse(readFileSync(join(packages, '.package-lock.json'), 'utf8')).packages
  for (const [path, { version }] of Object.entries<{ version: string }>(installed)) {
    assert.equal(version, locked[path]?.version, path)
  }
  for (const name of ['typescript', '@biomejs', 'fast-check', '@aws/cloudformation-validate', 'node']) {
    assert.ok(!existsSync(join(packages, name)), name)
  }
  assert.deepEqual(readdirSync(join(image.root, image.workdir)).sort(), [
    'LICENSE',
    'examples',
    'node_modules',
    'package.json',
    'src',
  ])
  assert.ok(!existsSync(join(image.root, image.workdir, 'examples/inference-server/api-keys.example.json')))
})

/** A container: the image's command with its environment, its `/` being the folder, and what a deployment adds. */
async function start(port: number, more: Record<string, string>) {
  // Absolute paths of the image are in the folder; nothing of this machine's environment is let in but what starts Node.
  const inRoot = ([name, value]: [string, string]) => [name, value.startsWith('/') ? join(image.root, value) : value]
  const env: Record<string, string> = {
    ...Object.fromEntries(Object.entries(image.env).map(inRoot as never)),
    PORT: String(port),
    HOST: '127.0.0.1',
    AWS_EC2_METADATA_DISABLED: 'true',
    // Five containers and their commands compile the same.
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
    ...more,
  }
  const [command, ...args] = image.cmd
  assert.equal(command, 'node')
  const child = spawn(process.execPath, args, {
    cwd: join(image.root, image.workdir),
    env: { ...env, NODE_OPTIONS: `--import ${new URL('aws-shifted-clock.ts', import.meta.url).href}` },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (output += chunk))
  for (let tries = 0; !output.includes('Listening'); tries++) {
    if (tries === 200 || child.exitCode !== null) assert.fail(`It did not start: ${output}`)
    await sleep(50)
  }
  return { child, env, url: `http://127.0.0.1:${port}`, output: () => output }
}

async function stop(child: ChildProcess): Promise<unknown> {
  if (child.exitCode !== null) return child.exitCode
  const exit = once(child, 'exit')
  child.kill(image.stopSignal as NodeJS.Signals)
  return (await exit)[0]
}

async function complete(url: string, key: string): Promise<{ total_tokens: number }> {
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'markov-1', prompt: 'It was', max_tokens: 10 }),
  })
  assert.equal(answer.status, 200)
  return ((await answer.json()) as { usage: { total_tokens: number } }).usage
}

async function simulatedAws(t: TestContext, now: () => number, subscribed: boolean) {
  const aws = await startSimulator({
    now,
    catalogue: {
      products: [{ code: CODE, dimensions: ['inference-requests', 'tokens-processed', 'gpu-hours'] }],
      customers: [{ accountId: ACCOUNT, subscriptions: subscribed ? [{ product: CODE, licenseArn: LICENCE }] : [] }],
    },
  })
  t.after(() => aws.close())
  return aws
}

for (const client of ['sdk', 'http']) {
  test(`the server in the image's configuration registers a buyer and meters through the ${client} client`, async t => {
    let ahead = 0
    const aws = await simulatedAws(t, () => Date.now() + ahead, false)
    rmSync(join(image.root, 'ledger'), { recursive: true })
    mkdirSync(join(image.root, 'ledger'))

    const { child, env, url, output } = await start(await freePort(), {
      METERING_CLIENT: client,
      METRICS_SERVICE: 'stack',
      EVENTS_QUEUE: aws.queueUrl,
      PRODUCT: 'inference',
      PRODUCT_CODE: CODE,
      OTEL_METRIC_EXPORT_INTERVAL: '100',
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_MARKETPLACE_METERING: aws.url,
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: 'a-secret-that-nobody-reads',
    })
    t.after(() => stop(child))

    /** What it said in words. */
    const said = () => output().replaceAll(/^\{"_aws.*\n/gm, '')

    const [, ...args] = image.healthcheck
    const check = () => promisify(execFile)(process.execPath, args, { env })
    await check()

    const subscription = { product: CODE, accountId: ACCOUNT, licenseArn: LICENCE }
    aws.simulator.catalogue.subscribe({ ...subscription, pending: true })
    const token = aws.simulator.catalogue.createToken(subscription)
    const form = new URLSearchParams({ 'x-amzn-marketplace-token': token })
    const page = await fetch(`${url}/register`, { method: 'POST', body: form })
    const key = /<code id="api-key">([^<]+)</.exec(await page.text())?.[1]
    aws.simulator.catalogue.activate(subscription)
    for (let tries = 0; aws.simulator.queue.messages().length > 0 && tries < 200; tries++) await sleep(50)
    const ask = async () => (await complete(url, key as string)).total_tokens
    let tokens = 0
    for (let request = 0; request < 5; request++) tokens += await ask()
    // What was measured in this hour has to be in the ledger before the hour is over.
    await sleep(500)
    ahead = 2 * HOUR
    child.send({ ahead })
    // An idle server looks at the clock once a minute, a busy one at each export.
    const inTheNextHour = await ask()
    const billed = () =>
      Object.fromEntries(
        aws.simulator.totals({ customer: LICENCE }).map(({ dimension, quantity }) => [dimension, quantity]),
      )
    for (let tries = 0; Object.keys(billed()).length < 2 && tries < 200; tries++) await sleep(50)
    assert.deepEqual(billed(), { 'inference-requests': 5, 'tokens-processed': tokens }, said())

    const lines = output()
      .split('\n')
      .filter(line => line.startsWith('{"_aws"'))
    const last = JSON.parse(lines.at(-1) as string)
    assert.equal(last._aws.CloudWatchMetrics[0].Namespace, NAMESPACE)
    assert.deepEqual([last.Service, last['marketplace.metering.oldest_pending.age']], ['stack', 0])

    // The operator's commands are in the image, too.
    await promisify(execFile)(process.execPath, ['src/cli/main.ts', 'status'], {
      cwd: join(image.root, image.workdir),
      env,
    })

    assert.equal(await stop(child), 0, said())
    await assert.rejects(check())
    const ledger = new SqliteLedger({ path: env.MARKETPLACE_LEDGER as string, readOnly: true })
    const statement = await ledger.statement()
    await ledger.close()
    const recorded = statement.find(line => line.dimension.name === 'tokens-processed')
    assert.deepEqual(
      [recorded?.recorded, recorded?.metered],
      [BigInt(tokens + inTheNextHour) * 1_000_000n, BigInt(tokens) * 1_000_000n],
    )
    for (const secret of [key, token, ACCOUNT, LICENCE]) assert.ok(!output().includes(secret as string))
  })
}

test('two tasks of the image register a buyer and meter through one ledger on DynamoDB, and write nothing else', {
  skip: withoutJava,
}, async t => {
  let ahead = 0
  const aws = await simulatedAws(t, () => Date.now() + ahead, true)
  const dynamodb = await DynamoDBLocal.shared()
  t.after(() => dynamodb[Symbol.asyncDispose]())
  const tableName = await dynamodb.table(dynamodb.client())
  const endpoint = await clockAhead(dynamodb.endpoint, () => ahead)
  t.after(() => endpoint.close())
  rmSync(join(image.root, 'ledger'), { recursive: true })

  const key = 'sk-listed-0123456789'
  const task = async () => {
    const server = await start(await freePort(), {
      API_KEYS: JSON.stringify({ [key]: { name: 'Buyer', accountId: ACCOUNT, licenseArn: LICENCE } }),
      MARKETPLACE_LEDGER: `dynamodb://${tableName}?region=us-east-1&endpoint=${endpoint.url}`,
      PRODUCT: 'inference',
      PRODUCT_CODE: CODE,
      OTEL_METRIC_EXPORT_INTERVAL: '100',
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_MARKETPLACE_METERING: aws.url,
      ...dynamodb.env,
    })
    t.after(() => stop(server.child))
    return server
  }
  const tasks = await Promise.all([task(), task()])
  const said = () => tasks.map(({ output }) => output()).join('\n')
  // The same customer, whose key is listed, registers: at one task, and again at the other, which replaces the key.
  const token = aws.simulator.catalogue.createToken({ product: CODE, accountId: ACCOUNT, licenseArn: LICENCE })
  const register = async (url: string, more = {}) => {
    const body = new URLSearchParams({ 'x-amzn-marketplace-token': token, ...more })
    return /<code id="api-key">([^<]+)</.exec(
      await (await fetch(`${url}/register`, { method: 'POST', body })).text(),
    )?.[1]
  }
  const [first, second] = tasks as [(typeof tasks)[0], (typeof tasks)[0]]
  const lost = await register(first.url)
  assert.equal(await register(second.url), undefined)
  const registered = (await register(second.url, { replace: 'yes' })) as string
  assert.ok(lost !== undefined && registered !== undefined, said())
  const answer = await fetch(`${first.url}/v1/models`, { headers: { authorization: `Bearer ${lost}` } })
  assert.equal(answer.status, 401)
  const ask = async ({ url }: { url: string }, own = registered) => (await complete(url, own)).total_tokens
  let tokens = 0
  for (const one of [...tasks, ...tasks]) tokens += await ask(one)
  for (const one of tasks) tokens += await ask(one, key)

  const ledger = await DynamoDBLedger.open({ tableName, client: dynamodb.client() })
  t.after(() => ledger.close())
  const recorded = async () =>
    (await ledger.statement()).find(({ dimension }) => dimension.name === 'tokens-processed')?.recorded ?? 0n
  for (let tries = 0; (await recorded()) < BigInt(tokens) * 1_000_000n && tries < 200; tries++) await sleep(50)
  assert.equal(await recorded(), BigInt(tokens) * 1_000_000n, said())

  ahead = 2 * HOUR
  for (const { child } of tasks) child.send({ ahead })
  const inTheNextHour = (await Promise.all(tasks.map(one => ask(one)))).reduce((sum, one) => sum + one)
  const billed = () =>
    Object.fromEntries(
      aws.simulator.totals({ customer: LICENCE }).map(({ dimension, quantity }) => [dimension, quantity]),
    )
  for (let tries = 0; Object.keys(billed()).length < 2 && tries < 200; tries++) await sleep(50)
  assert.deepEqual(billed(), { 'inference-requests': 6, 'tokens-processed': tokens }, said())

  assert.deepEqual(await Promise.all(tasks.map(({ child }) => stop(child))), [0, 0], said())
  assert.equal(await recorded(), BigInt(tokens + inTheNextHour) * 1_000_000n)
  assert.ok(!existsSync(join(image.root, 'ledger')))
  for (const secret of [key, registered, token, ACCOUNT, LICENCE]) assert.ok(!said().includes(secret))
})

test('without a product code the image does not start, and says why', async () => {
  const [, ...args] = image.cmd
  const child = spawn(process.execPath, args, {
    cwd: join(image.root, image.workdir),
    env: { ...image.env, AWS_REGION: 'us-east-1' },
  })
  let errors = ''
  child.stderr.on('data', chunk => (errors += chunk))
  assert.deepEqual(await once(child, 'close'), [1, null])
  assert.equal(errors, 'inference-server: PRODUCT_CODE is not set\n')
})
