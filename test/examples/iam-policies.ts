import type {
  BatchGetItemCommandInput,
  BatchWriteItemCommandInput,
  DynamoDBClient,
  QueryCommandInput,
  TransactWriteItem,
} from '@aws-sdk/client-dynamodb'
import { parse, type YAMLMap, type YAMLSeq } from 'yaml'

/**
 * Just so much of IAM and CloudFormation as policies on a table need. DynamoDB Local lets everybody do everything: here
 * each request is asked of the policies before it is sent.
 */

export interface Statement {
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: unknown
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

/** What of a request needs a right: an action, and the partitions that it is about. */
export interface Access {
  readonly action: string
  readonly partitions: readonly string[]
}

const KNOWN = new Set(['Effect', 'Action', 'Resource', 'Condition'])
const list = <Element>(one: Element | readonly Element[]) => [one].flat() as Element[]
export const actionsOf = ({ Action }: Statement): string[] => list(Action)

/** The partitions that a statement is about, as patterns. */
export const patternsOf = ({ Condition = {} }: Statement): string[] =>
  Object.values(Condition).flatMap(condition => Object.values(condition).flatMap(values => list(values)))

/** A template's managed policies, by their names in it. */
export function policiesOf(template: string): Map<string, Statement[]> {
  const asText = ['Ref', 'Sub'].map(name => ({ tag: `!${name}`, resolve: (text: string) => `\${${text}}` }))
  const asList = ['Not', 'Equals'].map(name => ({
    ...{ tag: `!${name}`, collection: 'seq' as const },
    resolve: (items: YAMLSeq | YAMLMap) => items.toJSON(),
  }))
  const { Resources } = parse(template, { customTags: [...asText, ...asList] })
  return new Map(
    Object.entries<{ Type: string; Properties: { PolicyDocument: { Statement: Statement[] } } }>(Resources)
      .filter(([, { Type }]) => Type === 'AWS::IAM::ManagedPolicy')
      .map(([name, { Properties }]) => [name, Properties.PolicyDocument.Statement]),
  )
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html */
export function allows(statements: readonly Statement[], access: Access): boolean {
  const matching = statements.filter(statement => matches(statement, access))
  return matching.length > 0 && matching.every(({ Effect }) => Effect === 'Allow')
}

function matches(statement: Statement, { action, partitions }: Access): boolean {
  const unknown = Object.keys(statement).filter(element => !KNOWN.has(element))
  if (unknown.length > 0) throw new Error(`Nobody has said what ${unknown.join(', ')} means`)
  if (!actionsOf(statement).includes(action)) return false
  return Object.entries(statement.Condition ?? {}).every(([operator, condition]) => {
    const [quantifier, comparison] = operator.split(':')
    const [[key, values] = [], ...others] = Object.entries(condition)
    if (key !== 'dynamodb:LeadingKeys' || others.length > 0) throw new Error(`Nobody has said what ${key} means`)
    const fits = (partition: string) =>
      list(values ?? []).some(value => COMPARISONS[comparison ?? '']?.(value, partition))
    if (quantifier === 'ForAllValues') return partitions.every(fits)
    if (quantifier === 'ForAnyValue') return partitions.some(fits)
    throw new Error(`Nobody has said what ${operator} means`)
  })
}

const COMPARISONS: Record<string, (pattern: string, text: string) => boolean> = {
  StringEquals: (pattern, text) => pattern === text,
  StringLike: (pattern, text) => isLike(pattern, text),
}

export function isLike(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*')
  if (rest.length === 0) return pattern === text
  if (rest.length > 1 || rest[0] !== '') throw new Error(`Only one * at the end is expected, not ${pattern}`)
  return text.startsWith(first)
}

type Keyed = Readonly<Record<string, { readonly S?: string | undefined } | undefined>>
const partition = (item: unknown): string => (item as Keyed | undefined)?.pk?.S ?? ''

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html */
function accessesOf(command: string, input: object): Access[] {
  const action = `dynamodb:${command.replace(/Command$/, '')}`
  if (command === 'TransactWriteItemsCommand') {
    return (input as { TransactItems: TransactWriteItem[] }).TransactItems.flatMap(item =>
      Object.entries(item).map(([name, { Item, Key }]) => ({
        action: `dynamodb:${name}Item`,
        partitions: [partition(Item ?? Key)],
      })),
    )
  }
  if (command === 'BatchGetItemCommand') {
    const { RequestItems } = input as BatchGetItemCommandInput
    const keys = Object.values(RequestItems ?? {}).flatMap(({ Keys = [] }) => Keys)
    return [{ action, partitions: keys.map(partition) }]
  }
  if (command === 'BatchWriteItemCommand') {
    const { RequestItems } = input as BatchWriteItemCommandInput
    const requests = Object.values(RequestItems ?? {}).flat()
    const keys = requests.map(({ DeleteRequest, PutRequest }) => DeleteRequest?.Key ?? PutRequest?.Item)
    return [{ action, partitions: keys.map(partition) }]
  }
  // It is about no partition: ForAllValues holds then.
  if (command === 'DescribeTableCommand') return [{ action, partitions: [] }]
  if (command === 'QueryCommand') {
    const { KeyConditionExpression, ExpressionAttributeValues } = input as QueryCommandInput
    if (!KeyConditionExpression?.startsWith('pk = :pk AND ')) throw new Error(`Unexpected: ${KeyConditionExpression}`)
    return [{ action, partitions: [ExpressionAttributeValues?.[':pk']?.S ?? ''] }]
  }
  const { Item, Key } = input as { Item?: Keyed; Key?: Keyed }
  return [{ action, partitions: [partition(Item ?? Key)] }]
}

/** Sends a client's requests only where these statements allow them. Returns what it sends, as it goes on. */
export function obey(client: DynamoDBClient, statements: readonly Statement[]): Access[] {
  const used: Access[] = []
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async args => {
        const accesses = accessesOf(commandName, args.input)
        const denied = accesses.find(access => !allows(statements, access))
        if (denied !== undefined) {
          const message = `not authorized to perform: ${denied.action} on ${denied.partitions.join(', ')}`
          const $metadata = { httpStatusCode: 400 }
          throw Object.assign(new Error(message), { name: 'AccessDeniedException', $metadata })
        }
        used.push(...accesses)
        return await next(args)
      },
    { step: 'build', name: 'obey' },
  )
  return used
}
