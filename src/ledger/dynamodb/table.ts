import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type {
  $Command,
  BatchGetItemCommandInput,
  BatchGetItemCommandOutput,
  BatchWriteItemCommandInput,
  BatchWriteItemCommandOutput,
  DeleteItemCommandInput,
  DynamoDBClient,
  DynamoDBClientResolvedConfig,
  PutItemCommandInput,
  ServiceInputTypes,
  ServiceOutputTypes,
  TableDescription,
  TransactWriteItem,
  UpdateItemCommandInput,
  WriteRequest,
} from '@aws-sdk/client-dynamodb'
import { LedgerError } from '../errors.ts'
import {
  type Attributes,
  attributesOf,
  type Content,
  type Item,
  itemOf,
  joined,
  type Key,
  keyIn,
  keyOf,
  keysOfParts,
} from './attributes.ts'
import type { Sdk } from './client.ts'
import type { EngineClock } from './clock.ts'
import { asLedgerError, faultOf, isConflict, isDenied } from './faults.ts'
import { inParallel } from './parallel.ts'
import { checkFits } from './transaction.ts'

export type { Item, Key }

/** A change of one item; several are done together or not at all. */
export type Write =
  /** Writes an item over the version that was read, or, without one, where nothing is yet. */
  | ({ readonly put: Key; readonly over: string | undefined } & Content)
  /** Deletes an item, of the version that was read. */
  | { readonly remove: Key; readonly over: string }
  /** Sets or deletes an entry of an index: only together with what it points at, whose version is checked. */
  | { readonly index: Key }
  | { readonly unindex: Key }

export interface Range {
  /** Places from it on. */
  readonly from?: string
  /** Places up to it. */
  readonly to?: string
  readonly newestFirst?: boolean
  /** How many items at most. */
  readonly limit?: number
  /** How many items one request brings at most: for those who may stop before the end. */
  readonly pageSize?: number
}

export interface TableOptions {
  readonly sdk: Sdk
  readonly client: DynamoDBClient
  readonly name: string
  readonly clock: EngineClock
  /** For how long a request is tried again, in milliseconds. */
  readonly retryTimeout: number
}

/** More items than a page of 1 MB has: it is as if nobody said how many. DynamoDB fails over a number above 2^31. */
const LARGEST_PAGE = 1_000_000

/** How many items one request of its kind may have. */
const KEYS_PER_READ = 100
const KEYS_PER_DELETE = 25

const READS_AT_ONCE = 8
const DELETES_AT_ONCE = 4

/** How often an item is read again whose parts do not fit together. */
const MOST_TRIES = 20

const SHORTEST_WAIT = 20
const LONGEST_WAIT = 1000

type Command<Input extends ServiceInputTypes, Output extends ServiceOutputTypes> = $Command<
  Input,
  Output,
  DynamoDBClientResolvedConfig,
  ServiceInputTypes,
  ServiceOutputTypes
>

/** The last place of a range: everything that begins alike comes before it. */
export const END = '\u{10ffff}'

/**
 * The one table: strongly consistent reads, and writes that are conditional on what was read. A request that fails in
 * passing is repeated; one whose outcome is unknown is known again by its version or token.
 */
export class Table {
  readonly #sdk: Sdk
  readonly #client: DynamoDBClient
  readonly #clock: EngineClock
  readonly #retryTimeout: number
  readonly name: string
  #closed = false

  constructor({ sdk, client, name, clock, retryTimeout }: TableOptions) {
    this.#sdk = sdk
    this.#client = client
    this.#clock = clock
    this.#retryTimeout = retryTimeout
    this.name = name
  }

  /** What DynamoDB says of the table; undefined where the role may not ask. */
  async describe(doing: string): Promise<TableDescription | undefined> {
    try {
      return (await this.#send(doing, new this.#sdk.DescribeTableCommand({ TableName: this.name }))).Table
    } catch (error) {
      if (error instanceof LedgerError && isDenied(error.cause)) return undefined
      throw error
    }
  }

  /** The items that are there, in no order. */
  async get(doing: string, keys: readonly Key[]): Promise<Item[]> {
    const [single, ...others] = keys
    if (single === undefined) return []
    if (others.length === 0) return await this.#getOne(doing, single)
    const parts = chunksOf(keys, KEYS_PER_READ)
    return (await inParallel(parts, READS_AT_ONCE, part => this.#getSome(doing, part))).flat()
  }

  async #getOne(doing: string, key: Key): Promise<Item[]> {
    const input = { TableName: this.name, Key: keyOf(key), ConsistentRead: true }
    const { Item } = await this.#send(doing, new this.#sdk.GetItemCommand(input))
    return Item === undefined ? [] : await this.#whole(doing, [Item])
  }

  async #getSome(doing: string, keys: readonly Key[]): Promise<Item[]> {
    return await this.#whole(doing, await this.#getAttributes(doing, keys))
  }

  async #getAttributes(doing: string, keys: readonly Key[]): Promise<Attributes[]> {
    const items: Attributes[] = []
    let rest: Attributes[] | undefined = keys.map(keyOf)
    for (let failures = 0; rest !== undefined && rest.length > 0; failures += 1) {
      if (failures > 0) await sleep(waitAfter(failures))
      const input: BatchGetItemCommandInput = { RequestItems: { [this.name]: { Keys: rest, ConsistentRead: true } } }
      const output: BatchGetItemCommandOutput = await this.#send(doing, new this.#sdk.BatchGetItemCommand(input))
      items.push(...(output.Responses?.[this.name] ?? []))
      rest = output.UnprocessedKeys?.[this.name]?.Keys
    }
    return items
  }

  /** Items with what they are continued in. */
  async #whole(doing: string, found: readonly Attributes[]): Promise<Item[]> {
    if (!found.some(({ parts }) => parts !== undefined)) return found.map(itemOf)
    const whole = await inParallel(found, READS_AT_ONCE, item => this.#joined(doing, item))
    return whole.flatMap(item => (item === undefined ? [] : [itemOf(item)]))
  }

  /** Undefined where it is deleted meanwhile. */
  async #joined(doing: string, found: Attributes): Promise<Attributes | undefined> {
    let item = found
    for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
      const keys = keysOfParts(item)
      const parts = keys.length === 0 ? [] : await this.#getAttributes(doing, keys)
      if (parts.length === keys.length && parts.every(({ v }) => v?.S === item.v?.S)) return joined(item, parts)
      // Somebody is writing it.
      await pause(tries)
      const [again] = await this.#getAttributes(doing, [keyIn(item)])
      if (again === undefined) return undefined
      item = again
    }
    const { pk, sk } = keyIn(item)
    throw new LedgerError('ERR_LEDGER_CORRUPT', `The parts of the item ${pk} ${sk} are missing.`)
  }

  /** A partition's items, in the order of their places. */
  async *query(doing: string, pk: string, range: Range = {}): AsyncGenerator<Item> {
    const { from = ' ', to = END, newestFirst = false, limit = Number.POSITIVE_INFINITY, pageSize = limit } = range
    if (from > to) return
    let left = limit
    let start: Attributes | undefined
    do {
      const { Items, LastEvaluatedKey } = await this.#send(
        doing,
        new this.#sdk.QueryCommand({
          TableName: this.name,
          ConsistentRead: true,
          ScanIndexForward: !newestFirst,
          KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
          ExpressionAttributeValues: { ':pk': { S: pk }, ':from': { S: from }, ':to': { S: to } },
          ...(pageSize <= LARGEST_PAGE && { Limit: Math.min(left, pageSize) }),
          ...(start !== undefined && { ExclusiveStartKey: start }),
        }),
      )
      yield* await this.#whole(doing, Items ?? [])
      left -= Items?.length ?? 0
      start = LastEvaluatedKey
    } while (start !== undefined && left > 0)
  }

  /** A partition's items at once. */
  async list(doing: string, pk: string, range: Range = {}): Promise<Item[]> {
    const items: Item[] = []
    for await (const item of this.query(doing, pk, range)) items.push(item)
    return items
  }

  /**
   * Does all or nothing. Returns the version of what is written, or undefined where somebody else has written since
   * what was read: then it is to be read again.
   *
   * @throws TooLargeError where it does not fit one transaction
   */
  async write(doing: string, writes: readonly Write[]): Promise<string | undefined> {
    const version = randomBytes(9).toString('base64')
    const actions = writes.flatMap(write => this.#actionsOf(write, version))
    checkFits(doing, actions)
    try {
      await this.#do(doing, actions)
      return version
    } catch (error) {
      if (!isConflict(error)) throw error
      // The first attempt may have done it, and only its answer was lost.
      return (error as { Item?: Attributes }).Item?.v?.S === version ? version : undefined
    }
  }

  async #do(doing: string, actions: TransactWriteItem[]): Promise<void> {
    const [{ Put, Delete } = {}, ...others] = actions
    if (others.length > 0) {
      // Under its token, a transaction that is repeated is done once.
      const input = { TransactItems: actions, ClientRequestToken: randomUUID() }
      await this.#send(doing, new this.#sdk.TransactWriteItemsCommand(input))
    } else if (Put !== undefined) {
      await this.#send(doing, new this.#sdk.PutItemCommand(Put as PutItemCommandInput))
    } else {
      await this.#send(doing, new this.#sdk.DeleteItemCommand(Delete as DeleteItemCommandInput))
    }
  }

  #actionsOf(write: Write, version: string): TransactWriteItem[] {
    const TableName = this.name
    if ('index' in write) return [{ Put: { TableName, Item: keyOf(write.index) } }]
    if ('unindex' in write) return [{ Delete: { TableName, Key: keyOf(write.unindex) } }]
    const condition =
      write.over === undefined
        ? { ConditionExpression: 'attribute_not_exists(pk)' }
        : { ConditionExpression: 'v = :v', ExpressionAttributeValues: { ':v': { S: write.over } } }
    if ('remove' in write) return [{ Delete: { TableName, Key: keyOf(write.remove), ...condition } }]
    const [Item, ...parts] = attributesOf(write, version)
    return [
      { Put: { TableName, Item, ...condition, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' } },
      ...parts.map(Item => ({ Put: { TableName, Item } })),
    ]
  }

  /** Deletes what nobody will look at again. */
  async delete(doing: string, keys: readonly Key[]): Promise<void> {
    await inParallel(chunksOf(keys, KEYS_PER_DELETE), DELETES_AT_ONCE, async part => {
      let rest: WriteRequest[] | undefined = part.map(key => ({ DeleteRequest: { Key: keyOf(key) } }))
      for (let failures = 0; rest !== undefined && rest.length > 0; failures += 1) {
        if (failures > 0) await sleep(waitAfter(failures))
        const input: BatchWriteItemCommandInput = { RequestItems: { [this.name]: rest } }
        const output: BatchWriteItemCommandOutput = await this.#send(doing, new this.#sdk.BatchWriteItemCommand(input))
        rest = output.UnprocessedItems?.[this.name]
      }
    })
  }

  /** Changes an item in place. Returns what it is then, or undefined where the condition does not hold. */
  async update(
    doing: string,
    key: Key,
    input: Pick<
      UpdateItemCommandInput,
      'UpdateExpression' | 'ConditionExpression' | 'ExpressionAttributeNames' | 'ExpressionAttributeValues'
    >,
  ): Promise<Attributes | undefined> {
    const command = new this.#sdk.UpdateItemCommand({
      ...{ TableName: this.name, Key: keyOf(key), ReturnValues: 'ALL_NEW' },
      ...input,
    })
    try {
      return (await this.#send(doing, command)).Attributes ?? {}
    } catch (error) {
      if (isConflict(error)) return undefined
      throw error
    }
  }

  close(): void {
    this.#closed = true
  }

  /** Sends a request until it is answered, for as long as that may help. Conflicts are passed on as they are. */
  async #send<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    doing: string,
    command: Command<Input, Output>,
  ): Promise<Output> {
    const end = performance.now() + this.#retryTimeout
    this.#hearTheTime(command)
    for (let failures = 1; ; failures += 1) {
      if (this.#closed) throw new LedgerError('ERR_LEDGER_CLOSED', `cannot ${doing}: the ledger is closed`)
      try {
        return await this.#client.send(command)
      } catch (error) {
        if (isConflict(error)) throw error
        const wait = waitAfter(failures)
        if (!faultOf(error).passing || performance.now() + wait > end) throw asLedgerError(error, doing)
        await sleep(wait)
      }
    }
  }

  #hearTheTime<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>({
    middlewareStack,
  }: Command<Input, Output>): void {
    middlewareStack.add(
      next => async args => {
        const answered = this.#clock.request()
        const result = await next(args)
        answered((result.response as { headers?: Record<string, string> }).headers?.date)
        return result
      },
      { step: 'deserialize', priority: 'low', name: 'ledgerClock' },
    )
  }
}

/** Waits before trying again, longer each time and by chance, so that those who were in each other's way part. */
export async function pause(failures: number): Promise<void> {
  await sleep(waitAfter(failures))
}

function waitAfter(failures: number): number {
  const longest = Math.min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** (failures - 1))
  return longest * (0.5 + Math.random() / 2)
}

export function chunksOf<Element>(elements: readonly Element[], size: number): Element[][] {
  return Array.from({ length: Math.ceil(elements.length / size) }, (_, index) =>
    elements.slice(index * size, (index + 1) * size),
  )
}
