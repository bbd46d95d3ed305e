import type { RecordEntry } from '../ledger/ledger.ts'
import type { AgreementEvent } from '../marketplace/agreement-events.ts'
import { type HandledEvent, noteAgreementEvent } from './handle-event.ts'
import { type AgreementsOptions, parseOptions } from './options.ts'
import type { QueueClient } from './queue/client.ts'
import { type AgreementConsumer, consumeAgreementEvents } from './queue/consumer.ts'
import type { QueueReport } from './queue/reports.ts'

/** What a person is told. It names no customer: account ids are customers' data. */
export type AgreementReport = QueueReport | EventReport

/** What an event came to. */
export interface EventReport {
  readonly level: 'info' | 'warn'
  readonly message: string
  readonly type: 'event'
  readonly event: AgreementEvent
  readonly outcome: HandledEvent['outcome']
  /** What was frozen at an agreement's end, and cannot be sent. */
  readonly held: readonly RecordEntry[]
}

export interface FollowOptions extends AgreementsOptions {
  /**
   * Where the events come to: `https://sqs.us-east-1.amazonaws.com/123456789012/name`, or the same with `sqs:`. It needs a
   * dead-letter queue.
   */
  queue: string
  report: (report: AgreementReport) => void
  /** By default the AWS SDK's `@aws-sdk/client-sqs` of the queue's region, with credentials from the usual chain. */
  client?: QueueClient
}

/**
 * Follows AWS's agreement events: what a queue brings becomes known to the ledger, until it is stopped. Several processes
 * may read one queue.
 *
 * @throws ConfigurationError naming each option that is wrong, or the package that is not installed
 */
export async function followAgreementEvents(options: FollowOptions): Promise<AgreementConsumer> {
  const { queue, report, client, ...rest } = options
  const parsed = parseOptions(rest)
  return await consumeAgreementEvents({
    queue,
    report,
    ...(client !== undefined && { client }),
    handle: async event => {
      const handled = await noteAgreementEvent(event, parsed, { postpone: true })
      report(reportOf(handled))
      return handled.again
    },
  })
}

function reportOf({ event, outcome, result, again }: HandledEvent): EventReport {
  const common = { type: 'event', event, outcome, held: result?.held ?? [] } as const
  const said = { ...common, level: 'info' } as const
  const id = event.id ?? 'without an id'
  if (outcome === 'other-product') return { ...said, message: `Event ${id} is of another product than this ledger's.` }
  switch (event.type) {
    case 'licence-active':
    case 'licence-ended':
    case 'subscription': {
      const began = event.type === 'licence-active' || (event.type === 'subscription' && event.what === 'active')
      const frozen = began ? '' : again === undefined ? ` ${result?.records ?? 0} records were frozen for it.` : LATER
      const known = result?.changed === false ? ' It was known.' : ''
      return { ...said, message: `Event ${id}: an agreement ${began ? 'is active' : 'has ended'}.${frozen}${known}` }
    }
    case 'advisory':
      return {
        ...common,
        level: 'warn',
        message: `Event ${id}: ${ADVISORY[event.what]} Agreement ${event.agreementId}.`,
      }
    case 'spend-threshold': {
      const agreement = event.agreementId === undefined ? '' : ` Agreement ${event.agreementId}.`
      const message = `Event ${id}: AWS checks whether a buyer can pay (Spend Threshold ${event.what}).${agreement}`
      return { ...common, level: 'warn', message }
    }
    case 'agreement': {
      const status = event.status === undefined ? '' : ` (${event.status})`
      const what = `agreement ${event.agreementId} was ${event.what}${status}`
      return { ...said, message: `Event ${id}: the ${what}. Metering goes by its licence, of which AWS tells apart.` }
    }
    default: {
      const what = event.type === 'unknown' ? event.detailType : event.type
      return { ...said, message: `Event ${id} (${what}) changes nothing here.` }
    }
  }
}

const LATER = ' What is owed is frozen in some minutes, when all that was used before has come.'

const ADVISORY = {
  issued:
    "AWS advises of a buyer's account: its closure or compromise, abuse or fraud. Usage goes on to be metered; look at the " +
    'agreement in AWS Marketplace.',
  resolved: "AWS has resolved what it advised of a buyer's account.",
} as const
