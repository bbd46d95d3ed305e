import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../inference-server/random.ts'
import type { Usage } from '../inference-server/usage.ts'
import type { Customer } from './customers.ts'

/** What a customer was told in one HTTP response that it used. */
export interface Answered {
  readonly customer: Customer
  readonly model: string
  readonly usage: Usage
  /** When the response came, by the machine's clock. */
  readonly at: number
}

const MODELS = ['markov-1', 'markov-1', 'markov-1-small']

const PROMPTS = [
  'Tell me about the sea.',
  'What did the whale do when the ship came near?',
  'Write a short letter to a friend about the weather, the road and the house on the hill.',
  'Summarize the first chapter, please, and say who is speaking in it.',
]

/**
 * One request over real HTTP, as an OpenAI client makes it: a chat, a chat that streams, a completion, or a stream that
 * the client leaves in the middle. What it cost is what the response says.
 */
export async function request(url: string, customer: Customer, random: Random): Promise<Answered> {
  const pick = random()
  const content = PROMPTS[Math.floor(random() * PROMPTS.length)] as string
  const model = MODELS[Math.floor(random() * MODELS.length)] as string
  const common = { model, max_tokens: 8 + Math.floor(random() * 40), seed: Math.floor(random() * 2 ** 31) }
  const answered = (usage: Usage | undefined) => answerOf(customer, model, usage)
  const chat = { ...common, messages: [{ role: 'user', content }] }
  if (pick < 0.5) return answered((await post(url, 'chat/completions', customer, chat).then(json)).usage)
  if (pick < 0.7) {
    const completion = { ...common, prompt: content }
    return answered((await post(url, 'completions', customer, completion).then(json)).usage)
  }
  const stream = { ...chat, stream: true, stream_options: { include_usage: true } }
  if (pick < 0.95) return answered(await readStream(await post(url, 'chat/completions', customer, stream)))
  return answered(await leaveStream(url, customer, { ...stream, max_tokens: 2000, ignore_eos: true }))
}

const answerOf = (customer: Customer, model: string, usage: Usage | undefined): Answered => {
  if (usage === undefined) throw new Error('A response came without its usage')
  return { customer, model, usage, at: Date.now() }
}

const json = (response: Response) => response.json() as Promise<{ usage?: Usage }>

async function post(
  url: string,
  path: string,
  customer: Customer,
  body: object,
  signal?: AbortSignal,
): Promise<Response> {
  const response = await fetch(`${url}/v1/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${customer.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal !== undefined && { signal }),
  })
  if (!response.ok) throw new Error(`The inference server answered ${response.status}: ${await response.text()}`)
  return response
}

async function readStream(response: Response): Promise<Usage | undefined> {
  const events = (await response.text()).split('\n\n').filter(event => event.startsWith('data: {'))
  const chunks = events.map(event => JSON.parse(event.slice('data: '.length)) as { usage?: Usage | null })
  return chunks.at(-1)?.usage ?? undefined
}

/** Reads the beginning of a stream and hangs up; the server knows what was generated until it noticed. */
async function leaveStream(url: string, customer: Customer, body: object): Promise<Usage | undefined> {
  const leaving = new AbortController()
  const response = await post(url, 'chat/completions', customer, body, leaving.signal)
  const reader = response.body?.getReader()
  await reader?.read()
  leaving.abort()
  await reader?.read().catch(() => {})
  const id = response.headers.get('x-request-id')
  const settled = await fetch(`${url}/v1/usage/${id}`, { headers: { authorization: `Bearer ${customer.apiKey}` } })
  if (!settled.ok) throw new Error(`GET /v1/usage/${id} answered ${settled.status}: ${await settled.text()}`)
  return (await json(settled)).usage
}

/** Waits in real time: for the other processes, which live in it. */
export const breathe = (milliseconds: number): Promise<void> => sleep(milliseconds)
