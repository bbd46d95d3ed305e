import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { ApiKeys } from '../../examples/inference-server/api-keys.ts'
import { chatPrompt } from '../../examples/inference-server/requests.ts'
import { createInferenceServer, type InferenceServerOptions } from '../../examples/inference-server/server.ts'
import { readSettings, SettingsError } from '../../examples/inference-server/settings.ts'
import { gracefulStop } from '../../examples/inference-server/shutdown.ts'
import { countTokens } from '../../examples/inference-server/tokenizer.ts'
import type { Usage } from '../../examples/inference-server/usage.ts'

const alphaKey = 'sk-test-alpha-0123456789'
const betaKey = 'sk-test-beta-0123456789'
const alpha = { name: 'Alpha', accountId: '111122223333' }
const beta = {
  name: 'Beta',
  accountId: '444455556666',
  licenseArn: 'arn:aws:license-manager::444455556666:license:l-1',
}

const hello = { model: 'markov-1', messages: [{ role: 'user', content: 'Hello, who are you?' }] }
// Runs for as long as a test needs: stops at nothing, and is more than a connection's buffers hold.
const endless = { ...hello, n: 16, max_tokens: 8000, ignore_eos: true, stream: true }

// biome-ignore lint/suspicious/noExplicitAny: what came over the wire is looked at, not typed
type Json = Record<string, any>

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(options: Partial<InferenceServerOptions> = {}) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.DELTA)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  const errors: unknown[] = []
  const server = createInferenceServer({
    meter: provider.getMeter('test'),
    apiKeys: ApiKeys.from({ [alphaKey]: alpha, [betaKey]: beta }),
    now: () => Date.UTC(2027, 0, 15),
    onError: error => errors.push(error),
    ...options,
  })
  const stop = gracefulStop(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(async () => {
    if (server.listening) await stop(0)
    await provider.shutdown()
    if (!options.onError) assert.deepEqual(errors, [])
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const post = (path: string, body: unknown, { key = alphaKey, ...init }: RequestInit & { key?: string } = {}) =>
    fetch(url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    })
  const chat = async (body: Json, key?: string): Promise<Json> => {
    const response = await post('/v1/chat/completions', body, key === undefined ? {} : { key })
    const json = (await response.json()) as Json
    assert.equal(response.status, 200, JSON.stringify(json))
    return json
  }
  const usageOf = async (id: string, key = alphaKey): Promise<Response> =>
    fetch(`${url}/v1/usage/${id}`, { headers: { authorization: `Bearer ${key}` } })

  /** The sums of everything recorded: `account instrument [token type]` → sum. */
  const recorded = async () => {
    await provider.forceFlush()
    const sums: Record<string, number> = {}
    for (const { scopeMetrics } of exporter.getMetrics()) {
      for (const { metrics } of scopeMetrics) {
        for (const { descriptor, dataPoints } of metrics) {
          for (const { attributes, value } of dataPoints) {
            const account = attributes['marketplace.customer.account_id']
            const type = attributes['marketplace.token.type']
            const name = [account, descriptor.name, ...(type ? [type] : [])].join(' ')
            sums[name] = (sums[name] ?? 0) + (value as number)
          }
        }
      }
    }
    return sums
  }
  return { server, stop, url, post, chat, usageOf, recorded, exporter, provider, errors }
}

/** What `recorded` must be after these usages, with the time in whole microseconds. */
function sumsOf(usages: readonly [accountId: string, usage: Usage][]) {
  const sums: Record<string, number> = {}
  const add = (name: string, value: number) => (sums[name] = (sums[name] ?? 0) + value)
  for (const [accountId, usage] of usages) {
    add(`${accountId} marketplace.inference.requests`, 1)
    add(`${accountId} marketplace.inference.tokens input`, usage.prompt_tokens)
    add(`${accountId} marketplace.inference.tokens output`, usage.completion_tokens)
    add(`${accountId} marketplace.gpu.time`, usage.compute_microseconds)
  }
  return sums
}

function inMicroseconds(sums: Record<string, number>) {
  return Object.fromEntries(
    Object.entries(sums).map(([name, sum]) => [name, name.endsWith('gpu.time') ? Math.round(sum * 1e6) : sum]),
  )
}

/** The data of a stream's events, parsed; `[DONE]` stays as it is. */
function parseEvents(text: string): Json[] {
  assert.ok(text.endsWith('\n\n'))
  return text
    .slice(0, -2)
    .split('\n\n')
    .map(event => {
      assert.ok(event.startsWith('data: '), event)
      const data = event.slice('data: '.length)
      return data === '[DONE]' ? { done: true } : JSON.parse(data)
    })
}

function assertUsage(usage: Usage, promptTokens: number, ...texts: string[]) {
  assert.equal(usage.prompt_tokens, promptTokens)
  assert.equal(
    usage.completion_tokens,
    texts.reduce((sum, text) => sum + countTokens(text), 0),
  )
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
  assert.ok(Number.isSafeInteger(usage.compute_microseconds) && usage.compute_microseconds > 0)
}

/** Begins a stream on a connection of its own, waits for its first event, and leaves. */
async function abortStream(url: string, body: Json, key = alphaKey): Promise<string> {
  const request = httpRequest(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    agent: false,
  })
  request.on('error', () => {})
  request.end(JSON.stringify(body))
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.on('error', () => {})
  const [chunk] = await once(response, 'data')
  request.destroy()
  return parseEvents(`${String(chunk).split('\n\n')[0]}\n\n`)[0]?.id
}

test('GET /health needs no key', async () => {
  const { url } = await start()
  const response = await fetch(`${url}/health`)
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), { status: 'ok' })
  const head = await fetch(`${url}/health`, { method: 'HEAD' })
  assert.equal(head.status, 200)
})

test('GET /v1/models lists the models', async () => {
  const { url } = await start()
  const response = await fetch(`${url}/v1/models?limit=1`, { headers: { authorization: `Bearer ${alphaKey}` } })
  assert.deepEqual(await response.json(), {
    object: 'list',
    data: ['markov-1', 'markov-1-small'].map(id => ({
      ...{ id, object: 'model', created: Date.UTC(2027, 0, 15) / 1000, owned_by: 'example', context_window: 8192 },
    })),
  })
})

test('POST /v1/chat/completions answers as OpenAI does', async () => {
  const { post } = await start({ gpus: 8 })
  const response = await post('/v1/chat/completions', { ...hello, seed: 7 })
  assert.equal(response.status, 200)
  const body = (await response.json()) as Json
  const { id, choices, usage, ...rest } = body
  assert.match(id, /^chatcmpl-[0-9a-f]{32}$/)
  assert.equal(response.headers.get('x-request-id'), id)
  assert.equal(response.headers.get('x-compute-time-us'), String(usage.compute_microseconds))
  assert.equal(usage.compute_microseconds % 8, 0)
  assert.deepEqual(rest, { object: 'chat.completion', created: Date.UTC(2027, 0, 15) / 1000, model: 'markov-1' })
  assert.equal(choices.length, 1)
  const [{ message, ...choice }] = choices
  assert.equal(message.role, 'assistant')
  assert.match(message.content, /^[A-Z]/)
  assert.equal(choice.index, 0)
  assert.ok(['stop', 'length'].includes(choice.finish_reason))
  assert.equal(chatPrompt(hello.messages as never), 'user: Hello, who are you?\nassistant:')
  assertUsage(usage, countTokens('user: Hello, who are you?\nassistant:'), message.content)
})

test('POST /v1/completions goes on from the prompt, for several prompts and choices', async () => {
  const { post } = await start()
  const prompts = ['It was the season of', 'We', '']
  const response = await post('/v1/completions', { model: 'markov-1', prompt: prompts, n: 2, seed: 1 })
  const { id, object, choices, usage } = (await response.json()) as Json
  assert.match(id, /^cmpl-/)
  assert.equal(object, 'text_completion')
  assert.deepEqual(
    choices.map((choice: Json) => choice.index),
    [0, 1, 2, 3, 4, 5],
  )
  assert.match(choices[0].text, /^ [A-Za-z]/)
  assert.equal(choices[4].text.trim(), choices[4].text)
  for (const { text, finish_reason } of choices) {
    assert.ok(countTokens(text) === 16 ? finish_reason === 'length' : finish_reason === 'stop')
  }
  const promptTokens = prompts.reduce((sum, prompt) => sum + countTokens(prompt), 0)
  assertUsage(usage, promptTokens, ...choices.map((choice: Json) => choice.text))
})

test('a seed makes answers repeatable', async () => {
  const { chat } = await start()
  const content = async (body: Json) => (await chat({ ...hello, ...body })).choices[0].message.content
  assert.equal(await content({ seed: 7 }), await content({ seed: 7 }))
  assert.notEqual(await content({ seed: 7 }), await content({ seed: 8 }))
  assert.notEqual(await content({}), await content({}))
  // At temperature 0 nothing is left to chance.
  assert.equal(await content({ temperature: 0, seed: 1 }), await content({ temperature: 0, seed: 2 }))
  assert.notEqual(await content({ temperature: 0.01, seed: 1 }), '')
  const { choices } = await chat({ ...hello, seed: 7, n: 2 })
  assert.notEqual(choices[0].message.content, choices[1].message.content)
})

test("the server's seed makes a run repeatable", async () => {
  const run = async () => {
    const { chat } = await start({ seed: 5 })
    return [(await chat(hello)).choices, (await chat(hello)).choices]
  }
  const first = await run()
  assert.notDeepEqual(first[0], first[1])
  assert.deepEqual(await run(), first)
})

test('a token limit cuts exactly, wherever it falls', async () => {
  const { chat } = await start()
  const limits = Array.from({ length: 60 }, (_, i) => i + 1)
  const answers = await Promise.all(
    limits.map(limit => chat({ ...hello, seed: limit, max_completion_tokens: limit, ignore_eos: true, n: 4 })),
  )
  for (const [i, { choices, usage }] of answers.entries()) {
    for (const { message, finish_reason } of choices) {
      assert.equal(finish_reason, 'length')
      assert.equal(countTokens(message.content), limits[i])
    }
    assert.equal(usage.completion_tokens, 4 * (limits[i] as number))
  }
  const long = await chat({ ...hello, seed: 1, max_tokens: 8000, ignore_eos: true })
  assert.equal(countTokens(long.choices[0].message.content), 8000)
})

test('generation ends before a stop sequence, in a stream too', async () => {
  const { chat, post } = await start()
  const whole = (await chat({ ...hello, seed: 3, ignore_eos: true })).choices[0].message.content as string
  // A sequence over the boundary of words, and one that never comes but begins like what does.
  const stop = [whole.slice(70, 78), `${whole.slice(20, 26)}\u0000`]
  const expected = whole.slice(0, whole.indexOf(stop[0] as string))
  const body = { ...hello, seed: 3, ignore_eos: true, stop }
  const { choices, usage } = await chat(body)
  assert.equal(choices[0].message.content, expected)
  assert.equal(choices[0].finish_reason, 'stop')
  assert.equal(usage.completion_tokens, countTokens(expected))

  const response = await post('/v1/chat/completions', { ...body, stream: true })
  const chunks = parseEvents(await response.text()).filter(event => event.choices)
  assert.equal(chunks.map(chunk => chunk.choices[0].delta.content ?? '').join(''), expected)
  assert.equal(chunks.at(-1)?.choices[0].finish_reason, 'stop')

  const single = await chat({ ...hello, seed: 3, stop: whole.slice(0, 1) })
  assert.equal(single.choices[0].message.content, '')
  assert.equal(single.usage.completion_tokens, 0)
})

test('a stream says the same as a single answer', async () => {
  const { chat, post } = await start()
  const body = { ...hello, seed: 11, n: 2, max_tokens: 40 }
  const single = await chat(body)
  const response = await post('/v1/chat/completions', {
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  })
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  const events = parseEvents(await response.text())
  assert.deepEqual(events.pop(), { done: true })
  const last = events.pop() as Json
  assert.deepEqual(last.choices, [])
  assert.equal(last.usage.total_tokens, single.usage.total_tokens)
  const texts = ['', '']
  for (const event of events) {
    assert.equal(event.id, last.id)
    assert.equal(event.object, 'chat.completion.chunk')
    assert.equal(event.usage, null)
    assert.equal(event.choices.length, 1)
    const [{ index, delta }] = event.choices
    texts[index] += delta.content ?? ''
  }
  assert.deepEqual(events[0]?.choices[0].delta, { role: 'assistant', content: '' })
  assert.deepEqual(
    texts,
    single.choices.map((choice: Json) => choice.message.content),
  )
  assertUsage(last.usage, countTokens(chatPrompt(hello.messages as never)), ...texts)
  const reasons = events.map(event => event.choices[0].finish_reason).filter(reason => reason !== null)
  assert.deepEqual(
    reasons,
    single.choices.map((choice: Json) => choice.finish_reason),
  )
})

test('a stream of /v1/completions, without usage', async () => {
  const { post, usageOf } = await start()
  const response = await post('/v1/completions', { model: 'markov-1', prompt: 'of the', stream: true })
  const events = parseEvents(await response.text())
  assert.deepEqual(events.pop(), { done: true })
  assert.ok(events.every(event => event.object === 'text_completion' && !('usage' in event)))
  const text = events.map(event => event.choices[0].text).join('')
  const { usage } = (await (await usageOf(events[0]?.id)).json()) as Json
  assertUsage(usage, countTokens('of the'), text)
})

test('messages may come in parts, and with special tokens as plain text', async () => {
  const { chat } = await start()
  const messages = [
    { role: 'system', content: 'Be brief. \ud800 😀 漢字' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'One ' },
        { type: 'text', text: '<|endoftext|> two' },
      ],
    },
  ]
  const { usage } = await chat({ ...hello, messages, stop: null, n: null, temperature: null, stream: null })
  assert.equal(
    usage.prompt_tokens,
    countTokens('system: Be brief. \ud800 😀 漢字\nuser: One <|endoftext|> two\nassistant:'),
  )
})

test('errors have the shape that clients know, and cost nothing', async () => {
  const { url, post, recorded } = await start({ maxBodyBytes: 100_000 })
  let chunks = 0
  const chatPath = '/v1/chat/completions'
  const authorization = `Bearer ${alphaKey}`
  const json = { authorization, 'content-type': 'application/json' }
  const text = { model: 'markov-1', prompt: 'x' }
  const invalid = (path: string, body: unknown, param: string | null, code: string | null = null, status = 400) =>
    ({ path, init: { method: 'POST', headers: json, body: JSON.stringify(body) }, status, param, code }) as const
  const cases: { path: string; init?: RequestInit; status: number; param?: string | null; code?: string | null }[] = [
    { path: '/nowhere', status: 404, code: 'unknown_url' },
    { path: '/v1/models/', init: { headers: json }, status: 404, code: 'unknown_url' },
    { path: chatPath, status: 405, code: 'method_not_supported' },
    { path: '/health', init: { method: 'DELETE' }, status: 405, code: 'method_not_supported' },
    { path: '/v1/models', status: 401 },
    {
      path: '/v1/models',
      init: { headers: { authorization: `Basic ${alphaKey}` } },
      status: 401,
    },
    {
      path: '/v1/models',
      init: { headers: { authorization: 'Bearer sk-wrong' } },
      status: 401,
      code: 'invalid_api_key',
    },
    { path: chatPath, init: { method: 'POST', body: '{}' }, status: 401 },
    { path: '/v1/usage/chatcmpl-0', init: { headers: json }, status: 404, param: 'id' },
    { path: chatPath, init: { method: 'POST', headers: { authorization }, body: '{}' }, status: 415 },
    {
      path: chatPath,
      init: { method: 'POST', headers: { ...json, 'content-encoding': 'gzip' }, body: '{}' },
      status: 415,
    },
    { path: chatPath, init: { method: 'POST', headers: json, body: '' }, status: 400 },
    { path: chatPath, init: { method: 'POST', headers: json, body: '{"model":' }, status: 400 },
    { path: chatPath, init: { method: 'POST', headers: json, body: Buffer.from([0x22, 0xff, 0x22]) }, status: 400 },
    { path: chatPath, init: { method: 'POST', headers: json, body: '[]' }, status: 400 },
    { path: chatPath, init: { method: 'POST', headers: json, body: 'x'.repeat(100_001) }, status: 413 },
    {
      path: chatPath,
      init: {
        method: 'POST',
        headers: json,
        body: new ReadableStream({
          pull(controller) {
            controller.enqueue(new Uint8Array(60_000))
            if (++chunks === 4) controller.close()
          },
        }),
        duplex: 'half',
      } as RequestInit,
      status: 413,
    },
    invalid(chatPath, {}, 'model'),
    invalid(chatPath, { ...hello, model: 'gpt-9' }, 'model', 'model_not_found', 404),
    invalid(chatPath, { model: 'markov-1' }, 'messages'),
    invalid(chatPath, { ...hello, messages: [] }, 'messages'),
    invalid(
      chatPath,
      {
        ...hello,
        messages: [
          { role: 'user', content: 'x' },
          { role: 'robot', content: 'x' },
        ],
      },
      'messages[1].role',
    ),
    invalid(chatPath, { ...hello, messages: [{ role: 'user' }] }, 'messages[0].content'),
    invalid(
      chatPath,
      { ...hello, messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      'messages[0].content',
    ),
    invalid(chatPath, { ...hello, max_tokens: 0 }, 'max_tokens'),
    invalid(chatPath, { ...hello, max_tokens: 1.5 }, 'max_tokens'),
    invalid(chatPath, { ...hello, max_tokens: '5' }, 'max_tokens'),
    invalid(chatPath, { ...hello, max_tokens: 5, max_completion_tokens: 5 }, 'max_tokens'),
    invalid(chatPath, { ...hello, max_completion_tokens: 8192 }, 'max_completion_tokens', 'context_length_exceeded'),
    invalid(chatPath, { ...hello, temperature: 2.1 }, 'temperature'),
    invalid(chatPath, { ...hello, temperature: -1 }, 'temperature'),
    invalid(chatPath, { ...hello, seed: 0.5 }, 'seed'),
    invalid(chatPath, { ...hello, n: 17 }, 'n'),
    invalid(chatPath, { ...hello, stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'),
    invalid(chatPath, { ...hello, stop: '' }, 'stop'),
    invalid(chatPath, { ...hello, stream: 'yes' }, 'stream'),
    invalid(chatPath, { ...hello, stream_options: { include_usage: true } }, 'stream_options'),
    invalid(chatPath, { ...hello, tools: [] }, 'tools'),
    invalid('/v1/completions', { model: 'markov-1' }, 'prompt'),
    invalid('/v1/completions', { ...text, prompt: [1, 2] }, 'prompt'),
    invalid('/v1/completions', { ...text, prompt: [] }, 'prompt'),
    invalid('/v1/completions', { ...text, prompt: ['a', 'b', 'c'], n: 8 }, 'n'),
    invalid('/v1/completions', { ...text, prompt: 'x '.repeat(20_000) }, 'prompt', 'string_above_max_length'),
    invalid('/v1/completions', { ...text, prompt: 'x'.repeat(1_001) }, 'prompt', 'invalid_prompt'),
    invalid('/v1/completions', { ...text, prompt: '\n'.repeat(32_000) }, 'prompt', 'invalid_prompt'),
    invalid('/v1/completions', { ...text, prompt: '1 '.repeat(9_000) }, 'prompt', 'context_length_exceeded'),
    invalid('/v1/completions', { ...text, suffix: 'x' }, 'suffix'),
  ]
  for (const { path, init, status, param = null, code = null } of cases) {
    const response = await fetch(url + path, init)
    const body = (await response.json()) as Json
    const label = `${path} ${String(init?.body).slice(0, 100)} → ${JSON.stringify(body)}`
    assert.equal(response.status, status, label)
    assert.deepEqual(Object.keys(body.error), ['message', 'type', 'param', 'code'])
    assert.equal(body.error.type, 'invalid_request_error')
    assert.equal(body.error.param, param, label)
    assert.equal(body.error.code, code, label)
    assert.ok(body.error.message.length > 0 && !body.error.message.includes('sk-'), label)
    if (status === 401) assert.equal(response.headers.get('www-authenticate'), 'Bearer')
    if (status === 405) assert.equal(response.headers.get('allow'), path === chatPath ? 'POST' : 'GET')
  }
  assert.deepEqual(await recorded(), {})
  // The server is none the worse for it.
  assert.equal((await post(chatPath, hello)).status, 200)
})

test('what the counters say is what the answers said', async () => {
  const { chat, post, recorded, exporter, provider } = await start({ gpus: 1000 })
  const keys = [alphaKey, betaKey]
  const accounts = [alpha.accountId, beta.accountId]
  const requests = Array.from({ length: 60 }, async (_, i): Promise<[string, Usage]> => {
    const account = accounts[i % 2] as string
    const key = keys[i % 2] as string
    if (i % 3 === 0) await provider.forceFlush()
    if (i % 5 > 1) return [account, (await chat({ ...hello, max_tokens: 50 }, key)).usage]
    const body = { ...hello, max_tokens: 50, stream: true, stream_options: { include_usage: true } }
    const events = parseEvents(await (await post('/v1/chat/completions', body, { key })).text())
    return [account, events.at(-2)?.usage]
  })
  const usages = await Promise.all(requests)
  assert.deepEqual(inMicroseconds(await recorded()), sumsOf(usages))

  const points = exporter
    .getMetrics()
    .flatMap(({ scopeMetrics }) =>
      scopeMetrics.flatMap(({ metrics }) => metrics.flatMap(({ dataPoints }) => dataPoints as { attributes: Json }[])),
    )
  assert.ok(points.every(({ attributes }) => Object.isFrozen(attributes)))
  for (const { attributes } of points) {
    const licence = attributes['marketplace.customer.license_arn']
    assert.equal(
      licence,
      attributes['marketplace.customer.account_id'] === beta.accountId ? beta.licenseArn : undefined,
    )
  }
})

test('a client that leaves in the middle of a stream pays once, for what was generated up to then', async () => {
  const { url, chat, usageOf, recorded } = await start()
  const left = await Promise.all(
    Array.from({ length: 6 }, (_, i) => abortStream(url, endless, i % 2 ? betaKey : alphaKey)),
  )
  const answered = await chat(hello)
  const usages = await Promise.all(
    left.map(async (id, i): Promise<[string, Usage]> => {
      const response = await usageOf(id, i % 2 ? betaKey : alphaKey)
      const { usage } = (await response.json()) as Json
      assert.ok(usage.completion_tokens < 16 * 8000)
      assert.equal(usage.prompt_tokens, answered.usage.prompt_tokens)
      return [i % 2 ? beta.accountId : alpha.accountId, usage]
    }),
  )
  usages.push([alpha.accountId, answered.usage])
  assert.deepEqual(inMicroseconds(await recorded()), sumsOf(usages))

  const foreign = await usageOf(left[0] as string, betaKey)
  assert.equal(foreign.status, 404)
})

test('a client that does not wait for a single answer pays nothing', async () => {
  const { url, server, usageOf, recorded } = await start()
  const request = httpRequest(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${alphaKey}`, 'content-type': 'application/json' },
    agent: false,
  })
  request.on('error', () => {})
  const arrived = once(server, 'request')
  request.end(JSON.stringify({ ...endless, stream: false }))
  const [, response] = await arrived
  // The id is set when the work begins.
  const closed = once(response, 'close')
  while (!response.hasHeader('x-request-id')) await new Promise(setImmediate)
  request.destroy()
  await closed
  assert.equal((await usageOf(response.getHeader('x-request-id'))).status, 404)
  assert.deepEqual(await recorded(), {})
})

test('a client that does not read is let go, and pays for what was generated', async () => {
  const { server, usageOf, recorded } = await start({ stallTimeout: 100 })
  const body = JSON.stringify(endless)
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const arrived = once(server, 'request')
  socket.on('error', () => {})
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${alphaKey}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  const [, response] = await arrived
  await once(response, 'close')
  socket.destroy()
  const { usage } = (await (await usageOf(response.getHeader('x-request-id'))).json()) as Json
  assert.ok(usage.completion_tokens > 0 && usage.completion_tokens < 16 * 8000)
  assert.deepEqual(inMicroseconds(await recorded()), sumsOf([[alpha.accountId, usage]]))
})

test('a client that does not send its request in time is let go', async () => {
  const { server, recorded } = await start({ requestTimeout: 50 })
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${alphaKey}\r\n` +
      `content-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
  )
  const [answer] = await once(socket, 'data')
  assert.match(String(answer), /^HTTP\/1\.1 408 /)
  socket.destroy()
  assert.deepEqual(await recorded(), {})
})

test("an error of the server's own is a 500 without details, and costs nothing", async () => {
  const seen: unknown[] = []
  let calls = 0
  const { post, recorded } = await start({
    now: () => {
      if (calls++ > 0) throw new Error('the clock is broken')
      return 0
    },
    onError: error => seen.push(error),
  })
  const response = await post('/v1/chat/completions', hello)
  assert.equal(response.status, 500)
  assert.deepEqual(await response.json(), {
    error: {
      message: 'The server had an error while processing your request.',
      type: 'server_error',
      param: null,
      code: null,
    },
  })
  assert.equal((seen[0] as Error).message, 'the clock is broken')
  assert.deepEqual(await recorded(), {})
})

test('stopping lets requests finish', async () => {
  const { server, stop, post, recorded } = await start()
  const arrived = once(server, 'request')
  const answer = post('/v1/chat/completions', { ...hello, max_tokens: 2000, ignore_eos: true, stream: true })
  await arrived
  const stopped = stop(60_000)
  const events = parseEvents(await (await answer).text())
  assert.deepEqual(events.at(-1), { done: true })
  await stopped
  await assert.rejects(post('/v1/chat/completions', hello))
  assert.equal((await recorded())[`${alpha.accountId} marketplace.inference.tokens output`], 2000)
})

test('stopping ends at the deadline what does not, and it is billed', async () => {
  const { server, stop, post, recorded } = await start()
  const response = await post('/v1/chat/completions', endless)
  await Promise.all([stop(0), assert.rejects(response.text())])
  assert.ok(!(server as Server).listening)
  assert.equal((await recorded())[`${alpha.accountId} marketplace.inference.requests`], 1)
})

test('API keys: what is wrong is said without saying a key', () => {
  const key = 'sk-secret-0123456789'
  const cases: [unknown, RegExp][] = [
    [null, /Expected API keys as an object/],
    [[], /Expected API keys as an object/],
    [{}, /at least one/],
    [{ short: alpha }, /API key 1: Expected a key of 16 or more/],
    [{ [alphaKey]: alpha, [key]: {} }, /API key 2: name/],
    [{ [key]: { ...alpha, accountId: '123' } }, /API key 1: accountId: Expected 12 digits/],
    [{ [key]: { ...alpha, licenseArn: 'l-1' } }, /API key 1: licenseArn: Expected an ARN/],
    [{ [key]: { ...alpha, licenceArn: 'arn:aws:x' } }, /API key 1: licenceArn/],
    [{ [key]: 'Alpha' }, /API key 1: /],
  ]
  for (const [keys, message] of cases) {
    assert.throws(
      () => ApiKeys.from(keys),
      (error: Error) => message.test(error.message) && !error.message.includes('secret'),
      String(message),
    )
  }
  const keys = ApiKeys.from({ [key]: alpha })
  assert.deepEqual(keys.find(key), alpha)
  assert.equal(keys.find('__proto__'), undefined)
  keys.add(betaKey, beta)
  assert.deepEqual(keys.find(betaKey), beta)
})

test('settings come from the environment, and what is wrong is said in a line', () => {
  const file = new URL('../../examples/inference-server/api-keys.example.json', import.meta.url).pathname
  const env = { API_KEYS_FILE: file, AWS_REGION: 'us-east-1', PRODUCT_CODE: 'product', LEDGER: 'ledger.sqlite' }
  const { apiKeys, ...settings } = readSettings(env)
  assert.equal(apiKeys.find('sk-demo-alpha-0123456789')?.name, 'Alpha Analytics')
  assert.deepEqual(settings, {
    port: 8080,
    host: undefined,
    region: 'us-east-1',
    product: { productCode: 'product' },
    ledger: 'ledger.sqlite',
    meteringClient: 'sdk',
    eventsQueue: undefined,
    metricsService: undefined,
    exportInterval: 60_000,
    shutdownDeadline: 10_000,
  })
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ ...env, API_KEYS_FILE: '', PRODUCT: 'label', PRODUCT_CODE: '' }, /^API_KEYS_FILE is not set$/],
    [{ ...env, AWS_REGION: undefined }, /^AWS_REGION is not set$/],
    [{ ...env, PRODUCT_CODE: undefined }, /^PRODUCT_CODE is not set$/],
    [{ ...env, LEDGER: undefined }, /^LEDGER is not set$/],
    [{ ...env, PORT: '80a' }, /^PORT: expected an integer from 0 to 65535, got "80a"$/],
    [{ ...env, PORT: '65536' }, /^PORT: /],
    [{ ...env, OTEL_METRIC_EXPORT_INTERVAL: '0' }, /^OTEL_METRIC_EXPORT_INTERVAL: /],
    [{ ...env, API_KEYS_FILE: '/nowhere.json' }, /^API_KEYS_FILE: ENOENT/],
    [{ ...env, API_KEYS_FILE: new URL(import.meta.url).pathname }, /^API_KEYS_FILE: not valid JSON: \S+$/],
  ]
  for (const [broken, message] of cases) {
    assert.throws(
      () => readSettings(broken),
      (error: Error) => error instanceof SettingsError && message.test(error.message),
      String(message),
    )
  }
})

test('the process goes on where its output cannot be written, and says so', {
  skip: !existsSync('/dev/full'),
}, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'inference-server-'))
  const full = openSync('/dev/full', 'w')
  t.after(() => {
    closeSync(full)
    rmSync(folder, { recursive: true })
  })
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('../../examples/inference-server/main.ts', import.meta.url))],
    {
      stdio: ['ignore', full, 'pipe'],
      env: {
        ...{ PATH: process.env.PATH, PORT: '0', HOST: '127.0.0.1', API_KEYS: JSON.stringify({ [alphaKey]: alpha }) },
        ...{ PRODUCT_CODE: 'prod', LEDGER: join(folder, 'ledger.sqlite'), METERING_CLIENT: 'http' },
        ...{ AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' },
        AWS_ENDPOINT_URL_MARKETPLACE_METERING: 'http://127.0.0.1:9',
      },
    },
  )
  t.after(() => child.kill('SIGKILL'))
  const ended = once(child, 'close')
  let said = ''
  for await (const chunk of child.stderr ?? []) {
    said += chunk
    if (said.includes('cannot be written')) child.kill('SIGTERM')
  }
  assert.deepEqual(await ended, [0, null], said)
  assert.match(said, /^inference-server: the output cannot be written: ENOSPC: no space left on device, write$/m)
})
