import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { pack, unpack } from './packed-json.ts'
import type { Content, Item, Key } from './table.ts'

/** Items as DynamoDB has them: a large one is continued in others. */

export type Attributes = Record<string, AttributeValue>

/** How much content one item has; DynamoDB's own limit is 400 KB with names and keys. */
const LARGEST_CONTENT = 390 * 1024

/**
 * What is larger goes on in items of the same partition, since rights are granted by partitions, before all that is
 * looked for there. A version before finds no whole JSON in such an item, and leaves it as it is.
 */
const CONTINUED = '\u0001'

export const keyOf = ({ pk, sk }: Key): Attributes => ({ pk: { S: pk }, sk: { S: sk } })
export const keyIn = ({ pk, sk }: Attributes): Key => ({ pk: pk?.S ?? '', sk: sk?.S ?? '' })

/** An item, and those in which it goes on. */
export function attributesOf(
  { put, data, body, expires }: { readonly put: Key } & Content,
  version: string,
): [Attributes, ...Attributes[]] {
  const packed = data === undefined ? undefined : pack(data)
  const item = {
    ...keyOf(put),
    v: { S: version },
    ...(packed !== undefined && { data: { B: packed } }),
    ...(body !== undefined && { body: { B: body } }),
    ...(expires !== undefined && { expires: { N: String(Math.ceil(expires / 1000)) } }),
  }
  const first = LARGEST_CONTENT - (body?.length ?? 0)
  if (packed === undefined || packed.length <= first) return [item]
  const rest = packed.subarray(first)
  const parts = { N: String(Math.ceil(rest.length / LARGEST_CONTENT)) }
  return [
    { ...item, data: { B: packed.subarray(0, first) }, parts },
    ...keysOfParts({ ...item, parts }).map((key, index) => {
      const part = rest.subarray(index * LARGEST_CONTENT, (index + 1) * LARGEST_CONTENT)
      return { ...keyOf(key), v: item.v, data: { B: part } }
    }),
  ]
}

/** Where an item goes on. It has few parts: a transaction takes ten times what an item does. */
export function keysOfParts(item: Attributes): Key[] {
  const { pk, sk } = keyIn(item)
  return Array.from({ length: Number(item.parts?.N ?? 0) }, (_, index) => ({ pk, sk: `${CONTINUED}${index} ${sk}` }))
}

/** An item with its parts, these in any order. */
export function joined(item: Attributes, parts: readonly Attributes[]): Attributes {
  const inOrder = [...parts].sort((a, b) => (keyIn(a).sk < keyIn(b).sk ? -1 : 1))
  return { ...item, data: { B: Buffer.concat([item, ...inOrder].map(({ data }) => data?.B ?? Buffer.of())) } }
}

export function itemOf(item: Attributes): Item {
  return {
    ...keyIn(item),
    version: item.v?.S ?? '',
    data: item.data?.B === undefined ? undefined : unpack(item.data.B),
    body: item.body?.B,
  }
}
