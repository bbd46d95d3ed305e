import { configurationError, show } from '../../check.ts'

/** A queue of SQS, and how to come to it. */
export interface QueueAddress {
  /** As SQS's requests name it. */
  readonly url: string
  /** Where requests are sent. */
  readonly endpoint: string
  /** Of the queue, whatever region usage is metered in: AWS sends agreements' events in us-east-1 alone. */
  readonly region: string
  /** The account whose queue it is: 12 digits. */
  readonly accountId: string
  readonly name: string
}

const EXPECTED = "a queue's URL such as sqs://sqs.us-east-1.amazonaws.com/123456789012/name"

/** With or without the endpoints of a VPC, for FIPS and for two stacks. */
const REGION = /(?:^|\.)sqs(?:-fips)?\.([a-z]{2,4}(?:-[a-z]{1,20}){1,3}-\d{1,2})\./
/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html */
const PATH = /^\/(\d{12})\/([\w-]{1,80}(?:\.fifo)?)$/
/** This machine, or another of a network of its own, such as Docker's: hosts of AWS have dots. */
const LOCAL = /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]|[^.[\]]{1,63}|[^.[\]]{1,63}\.localhost)$/

/**
 * Reads a queue's URL as the console of SQS shows it, or the same with `sqs:` instead of `https:`. A host of this machine,
 * or without dots (a simulator), is asked over plain http; one that says no region is taken for one of us-east-1.
 *
 * @throws ConfigurationError
 */
export function readQueueAddress(address: string, option = 'queue'): QueueAddress {
  const scheme = /^(sqs|https?):\/\//.exec(address)?.[1]
  const secure = scheme === undefined ? null : URL.parse(address.replace(/^sqs/, 'https'))
  const local = LOCAL.test(secure?.hostname ?? '')
  const url = local ? URL.parse(address.replace(/^sqs/, 'http')) : secure
  const [, accountId, name] = PATH.exec(url?.pathname ?? '') ?? []
  if (url === null || accountId === undefined || name === undefined) throw wrong(option, address)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') throw wrong(option, address)
  if (url.protocol === 'http:' && !local) {
    throw configurationError([`${option}: expected https:// for a queue on another machine, got ${show(url.hostname)}`])
  }
  const region = REGION.exec(url.hostname)?.[1] ?? 'us-east-1'
  return { url: url.href, endpoint: url.origin, region, accountId, name }
}

/** What is no address is not shown whole: somebody may have given one with a password. */
function wrong(option: string, address: unknown): Error {
  const got = typeof address !== 'string' ? show(address) : address.includes('@') ? 'one with a user' : show(address)
  return configurationError([`${option}: expected ${EXPECTED}, got ${got}`])
}
