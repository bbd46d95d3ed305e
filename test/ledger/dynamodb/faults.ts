import assert from 'node:assert/strict'
import type {
  AttributeValue,
  DynamoDBClient,
  PutItemCommandInput,
  QueryCommandInput,
  TransactWriteItemsCommandInput,
} from '@aws-sdk/client-dynamodb'
import { DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { LedgerError } from '../../../src/ledger/errors.ts'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import type { DynamoDBLocal } from './server.ts'

/** What goes wrong between a client and DynamoDB: the request does not get there, or its answer is lost. */
export type Loss = 'request' | 'answer'

/**
 * What a process leaves that dies before its n-th write was carried out is what it leaves that dies after the one before.
 * So the second is enough here, and both are tried where there is time.
 */
export const ALL = process.env.LEDGER_FAULTS === 'all'
export const LOSSES: readonly Loss[] = ALL ? ['answer', 'request'] : ['answer']
/** Of a test with a fault at each of many requests: it may take longer than others. */
export const LONG = ALL ? { timeout: 600_000 } : {}
/** Of the writes at which a process dies, each so many-th is tried. */
const EACH_WRITE = ALL ? 1 : 5

const WRITES = new Set([
  ...['PutItemCommand', 'DeleteItemCommand', 'UpdateItemCommand'],
  ...['TransactWriteItemsCommand', 'BatchWriteItemCommand'],
])

/** What DynamoDB takes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html. */
const MOST = { actions: 100, transaction: 4_000_000, item: 400 * 1024, partitionKey: 2048, sortKey: 1024 }

/** Measures each request, and refuses one that DynamoDB would not take. */
export function measure(client: DynamoDBClient): void {
  const sizeOf = (item: Attributes) => {
    const { pk: { S: pk = '' } = {}, sk: { S: sk = '' } = {} } = item
    const fits = Buffer.byteLength(pk) <= MOST.partitionKey && Buffer.byteLength(sk) <= MOST.sortKey
    if (!fits) throw new RangeError(`the key is too long: ${pk} ${sk}`)
    return Object.entries(item).reduce((sum, [name, { S = '', N = '', B }]) => {
      return sum + Buffer.byteLength(name + S + N) + (B?.length ?? 0)
    }, 0)
  }
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async args => {
        const { TransactItems: actions = [], Item } = args.input as Partial<
          TransactWriteItemsCommandInput & PutItemCommandInput
        >
        const puts = [...actions.map(({ Put }) => Put?.Item), Item].filter(item => item !== undefined)
        const sizes = puts.map(sizeOf)
        const measured = {
          actions: actions.length,
          transaction: sizes.reduce((sum, size) => sum + size, 0),
          item: Math.max(0, ...sizes),
        }
        for (const what of ['actions', 'transaction', 'item'] as const) {
          if (measured[what] <= MOST[what]) continue
          throw new RangeError(`${commandName}: ${what} ${measured[what]}, at most ${MOST[what]}`)
        }
        return await next(args)
      },
    { step: 'initialize', name: 'measure' },
  )
}

type Attributes = Record<string, AttributeValue>

/** A process that dies at one of its writes: from then on it reaches DynamoDB no more. */
export class MortalClient {
  readonly client: DynamoDBClient
  readonly #loss: Loss
  readonly #last: number
  writes = 0
  #dead = false

  /** @param last the write at which it dies, from 1 */
  constructor(client: DynamoDBClient, last: number, loss: Loss) {
    this.client = client
    this.#last = last
    this.#loss = loss
    client.middlewareStack.add(
      (next, { commandName = '' }) =>
        async args => {
          if (this.#dead) throw dead()
          if (!WRITES.has(commandName)) return await next(args)
          this.writes += 1
          if (this.writes < this.#last) return await next(args)
          this.#dead = true
          if (this.#loss === 'answer') await next(args)
          throw dead()
        },
      { step: 'build', name: 'mortal' },
    )
  }

  get dead(): boolean {
    return this.#dead
  }
}

/** When a process that folded and died, or sleeps, is no longer waited for. */
export const later = (): number => Date.now() + MINUTE

const died = (error: unknown) => assert.ok(error instanceof LedgerError && /has died/.test(error.message), `${error}`)

/**
 * Has a process die at its first write, at a later one, and so on until it comes to its end; each time in a new table,
 * where another process then goes on.
 */
export async function dieEverywhere(
  server: DynamoDBLocal,
  loss: Loss,
  prepare: (other: Ledger) => Promise<unknown>,
  work: (mortal: Ledger) => Promise<unknown>,
  goOn: (other: Ledger, write: number, another: Ledger) => Promise<unknown>,
): Promise<number> {
  const client = server.client()
  const prepared = await server.itemsAfter(prepare)
  for (let write = 1; ; write += EACH_WRITE) {
    const tableName = await server.tableOf(client, prepared)
    const open = () => DynamoDBLedger.open({ tableName, client, now: later })
    const [other, another] = [await open(), await open()]
    const mortal = new MortalClient(server.client(), write, loss)
    await work(await DynamoDBLedger.open({ tableName, client: mortal.client })).catch(died)
    await goOn(other, write, another)
    if (!mortal.dead) return write - 1
  }
}

/** An error that is not tried again. */
function dead(): Error {
  return Object.assign(new Error('the process has died'), { name: 'AccessDeniedException' })
}

/** A service error as the AWS SDK throws it. */
export function serviceError(name: string, status: number): Error {
  return Object.assign(new Error(`injected ${name}`), { name, $metadata: { httpStatusCode: status } })
}

/** Fails requests in passing, a share of them: throttled, with 500, or with the connection lost before or after. */
export function disturb(client: DynamoDBClient, random: () => number, share: number): { faults: number } {
  const count = { faults: 0 }
  client.middlewareStack.add(
    next => async args => {
      const chance = random()
      if (chance >= share) return await next(args)
      count.faults += 1
      const which = Math.floor((chance / share) * 6)
      if (which === 0) throw serviceError('ThrottlingException', 400)
      if (which === 1) throw serviceError('ProvisionedThroughputExceededException', 400)
      if (which === 2) throw serviceError('InternalServerError', 500)
      if (which === 3) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
      await next(args)
      throw which === 4
        ? Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
        : serviceError('InternalServerError', 500)
    },
    { step: 'build', name: 'disturb' },
  )
  return count
}

/** Numbers from 0 to 1 that are the same each time. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Fails all requests, until it is over. */
export function fail(client: DynamoDBClient, error: Error): { over: boolean; requests: number } {
  const state = { over: false, requests: 0 }
  client.middlewareStack.add(
    next => async args => {
      if (state.over) return await next(args)
      state.requests += 1
      throw error
    },
    { step: 'build', name: 'fail' },
  )
  return state
}

/** A client's connection to DynamoDB. Without it no request gets there, and the answers to those under way get lost. */
export class Connection {
  connected = true
  #duringNext: (() => void) | undefined

  constructor(client: DynamoDBClient) {
    const check = () => {
      if (!this.connected) throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
    }
    client.middlewareStack.add(
      (next, { commandName = '' }) =>
        async args => {
          check()
          const answered = next(args)
          if (WRITES.has(commandName)) {
            this.#duringNext?.()
            this.#duringNext = undefined
          }
          const answer = await answered
          check()
          return answer
        },
      { step: 'build', name: 'connection' },
    )
  }

  /** Does something while the next write is under way. */
  duringNextWrite(work: () => void): void {
    this.#duringNext = work
  }
}

/** Fails a command with each of these errors, once. */
export function failCommand(client: DynamoDBClient, command: string, errors: Error[]): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      async args => {
        const error = commandName === command ? errors.shift() : undefined
        if (error !== undefined) throw error
        return await next(args)
      },
    { step: 'build', name: 'failCommand' },
  )
}

/** A process that stops at one of its requests, as one whose machine is paused, until it is woken. */
export class SleepyClient {
  readonly client: DynamoDBClient
  /** Resolves when it sleeps. */
  readonly asleep: Promise<void>
  readonly #wake: () => void

  /** @param at the request before which it sleeps, from 1 */
  constructor(client: DynamoDBClient, at: number) {
    this.client = client
    const asleep = Promise.withResolvers<void>()
    const awake = Promise.withResolvers<void>()
    this.asleep = asleep.promise
    this.#wake = awake.resolve
    let requests = 0
    client.middlewareStack.add(
      next => async args => {
        requests += 1
        if (requests === at) {
          asleep.resolve()
          await awake.promise
        }
        return await next(args)
      },
      { step: 'build', name: 'sleepy' },
    )
  }

  wake(): void {
    this.#wake()
  }
}

/** Brings a query's items a few at a time, as DynamoDB may. After the first of them something else happens. */
export function pageByPage(client: DynamoDBClient, pk: string, items: number, meanwhile: () => Promise<unknown>): void {
  let first = true
  client.middlewareStack.add(
    (next, { commandName }) =>
      async args => {
        const { ExpressionAttributeValues: values } = args.input as QueryCommandInput
        if (commandName !== 'QueryCommand' || values?.[':pk']?.S !== pk) return await next(args)
        const result = await next({ ...args, input: { ...args.input, Limit: items } as typeof args.input })
        if (first) {
          first = false
          await meanwhile()
        }
        return result
      },
    { step: 'initialize', name: 'pageByPage' },
  )
}

/** Loses each answer to a command once: the same is answered when it is sent again. */
export function loseAnswers(client: DynamoDBClient, command: string): { lost: number } {
  const state = { lost: 0 }
  const heard = new Set<string>()
  client.middlewareStack.add(
    (next, { commandName }) =>
      async args => {
        const result = await next(args)
        const key = JSON.stringify(args.input, (_, value) => (value instanceof Uint8Array ? [...value] : value))
        if (commandName !== command || heard.has(key)) return result
        heard.add(key)
        state.lost += 1
        throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
      },
    { step: 'build', name: 'loseAnswers' },
  )
  return state
}
