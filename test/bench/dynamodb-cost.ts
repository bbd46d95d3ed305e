import { AsyncLocalStorage } from 'node:async_hooks'
import type {
  AttributeValue,
  ConsumedCapacity,
  DynamoDBClient,
  ServiceInputTypes,
  ServiceOutputTypes,
  TransactWriteItem,
  WriteRequest,
} from '@aws-sdk/client-dynamodb'

export interface Cost {
  requests: number
  readUnits: number
  writeUnits: number
}

/** On demand, in dollars a unit, us-east-1: https://aws.amazon.com/dynamodb/pricing/on-demand/. */
const READ_UNIT = 0.125e-6
const WRITE_UNIT = 0.625e-6

export const dollars = ({ readUnits, writeUnits }: Cost): number => readUnits * READ_UNIT + writeUnits * WRITE_UNIT

type Item = Record<string, AttributeValue>

/**
 * Adds up what clients' requests cost by AWS's rules, by what they were made for:
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html.
 *
 * DynamoDB Local says itself what a request cost, and is taken at its word that the sizes are right here. But it rounds
 * a transaction's sum and not each item, takes more for deleting several items than AWS, and nothing for what it does
 * not find nor for a write whose condition did not hold.
 */
export class CostMeter {
  readonly #costs = new Map<string, Cost>()
  readonly #purpose = new AsyncLocalStorage<string>()
  /** Of all items, in bytes: what overwrites or deletes one is paid by the larger. */
  readonly #sizes = new Map<string, number>()

  /** Has a client's requests counted. */
  watch(client: DynamoDBClient): DynamoDBClient {
    client.middlewareStack.add(
      (next, { commandName = '' }) =>
        async args => {
          const input = args.input as AnyInput
          try {
            const result = await next({ ...args, input: { ...input, ReturnConsumedCapacity: 'TOTAL' } })
            this.#count(commandName, input, result.output as AnyOutput)
            return result
          } catch (error) {
            this.#countRefused(commandName, input, error as Error & { Item?: Item })
            throw error
          }
        },
      { step: 'initialize', name: 'costMeter' },
    )
    return client
  }

  /** The same object, with what its methods cost under their names. */
  label<Of extends object>(object: Of): Of {
    return new Proxy(object, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        return (...args: unknown[]) => this.#purpose.run(String(name), () => value.apply(target, args))
      },
    })
  }

  #count(command: string, input: AnyInput, output: AnyOutput): void {
    if (command === 'QueryCommand') {
      const bytes = (output.Items ?? []).reduce((sum, item) => sum + sizeOf(item), 0)
      const units = Math.max(1, Math.ceil(bytes / 4096))
      if (bytes > 0) check(units, output)
      this.#add(command, { readUnits: units })
    } else if (command === 'GetItemCommand') {
      const units = readUnits(output.Item)
      check(units, output)
      this.#add(command, { readUnits: units })
    } else if (command === 'BatchGetItemCommand') {
      const found = Object.values(output.Responses ?? {}).flat()
      const asked = Object.values(input.RequestItems ?? {}).flatMap(({ Keys = [] }) => Keys).length
      const units = found.reduce((sum, item) => sum + readUnits(item), 0)
      this.#add(command, { readUnits: units + asked - found.length })
    } else if (command === 'UpdateItemCommand') {
      const units = this.#put(output.Attributes ?? {})
      check(units, output)
      this.#add(command, { writeUnits: units })
    } else if (command === 'PutItemCommand') {
      const units = this.#put(input.Item ?? {})
      check(units, output)
      this.#add(command, { writeUnits: units })
    } else if (command === 'DeleteItemCommand') {
      this.#add(command, { writeUnits: this.#remove(input.Key) })
    } else if (command === 'BatchWriteItemCommand') {
      const requests = Object.values(input.RequestItems ?? {}).flat() as WriteRequest[]
      const units = requests.map(({ DeleteRequest }) => this.#remove(DeleteRequest?.Key))
      this.#add(command, { writeUnits: units.reduce((sum, one) => sum + one, 0) })
    } else if (command === 'TransactWriteItemsCommand') {
      const units = (input.TransactItems ?? []).map(({ Put, Delete }) =>
        Put === undefined ? this.#remove(Delete?.Key) : this.#put(Put.Item ?? {}),
      )
      this.#add(command, { writeUnits: 2 * units.reduce((sum, one) => sum + one, 0) })
    } else if (!/^(Create|Describe)/.test(command)) throw new Error(`Nobody has said what ${command} costs`)
  }

  /** Also what was refused by a condition is paid for. */
  #countRefused(command: string, { Item: item, TransactItems = [] }: AnyInput, error: Error & { Item?: Item }): void {
    if (error.name === 'ConditionalCheckFailedException') {
      this.#add(`${command}, refused`, { writeUnits: Math.max(writeUnits(item), writeUnits(error.Item)) })
    } else if (error.name === 'TransactionCanceledException') {
      const units = TransactItems.reduce((sum, { Put }) => sum + 2 * writeUnits(Put?.Item), 0)
      this.#add(`${command}, refused`, { writeUnits: units })
    }
  }

  #put(item: Item): number {
    const [name, size] = [nameOf(item), sizeOf(item)]
    const before = this.#sizes.get(name) ?? 0
    this.#sizes.set(name, size)
    return unitsOf(Math.max(before, size))
  }

  #remove(key: Item = {}): number {
    const before = this.#sizes.get(nameOf(key)) ?? 0
    this.#sizes.delete(nameOf(key))
    return unitsOf(before)
  }

  #add(command: string, { readUnits = 0, writeUnits = 0 }: Partial<Cost>): void {
    const name = `${this.#purpose.getStore() ?? ''} ${command}`
    const cost = this.#costs.get(name) ?? { requests: 0, readUnits: 0, writeUnits: 0 }
    cost.requests += 1
    cost.readUnits += readUnits
    cost.writeUnits += writeUnits
    this.#costs.set(name, cost)
  }

  /** What the table has, in bytes as AWS counts them. */
  get stored(): number {
    return [...this.#sizes.values()].reduce((sum, size) => sum + size + 100, 0)
  }

  /** What was counted since the last time, by purpose and command. */
  take(): Map<string, Cost> {
    const costs = new Map(this.#costs)
    this.#costs.clear()
    return costs
  }
}

export function sumOf(costs: Iterable<Cost>): Cost {
  const sum: Cost = { requests: 0, readUnits: 0, writeUnits: 0 }
  for (const { requests, readUnits, writeUnits } of costs) {
    sum.requests += requests
    sum.readUnits += readUnits
    sum.writeUnits += writeUnits
  }
  return sum
}

/** What of requests and answers matters here; each has some of it. */
type AnyInput = ServiceInputTypes & {
  readonly Item?: Item
  readonly Key?: Item
  readonly RequestItems?: Record<string, { readonly Keys?: Item[] }>
  readonly TransactItems?: TransactWriteItem[]
}
type AnyOutput = ServiceOutputTypes & {
  readonly Item?: Item
  readonly Items?: Item[]
  readonly Attributes?: Item
  readonly Responses?: Record<string, Item[]>
  readonly ConsumedCapacity?: ConsumedCapacity
}

/** That DynamoDB Local, where it counts as AWS does, has counted the same. */
function check(units: number, { ConsumedCapacity }: AnyOutput): void {
  if (ConsumedCapacity?.CapacityUnits !== units) {
    throw new Error(`expected ${units} units, DynamoDB Local counted ${ConsumedCapacity?.CapacityUnits}`)
  }
}

const nameOf = ({ pk, sk }: Item): string => `${pk?.S} ${sk?.S}`
const unitsOf = (bytes: number): number => Math.max(1, Math.ceil(bytes / 1024))
const readUnits = (item: Item = {}): number => Math.max(1, Math.ceil(sizeOf(item) / 4096))
const writeUnits = (item: Item = {}): number => unitsOf(sizeOf(item))

/** In bytes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html. */
function sizeOf(item: Item): number {
  const sizes = Object.entries(item).map(([name, { S, N, B }]) => {
    const value = N === undefined ? Buffer.byteLength(S ?? '') + (B?.length ?? 0) : Math.ceil(N.length / 2) + 1
    return Buffer.byteLength(name) + value
  })
  return sizes.reduce((sum, size) => sum + size, 0)
}
