import { HOUR, SECOND, windowClosesAt } from '../../ledger/hours.ts'
import type { Ledger, LedgerStatus, MeteringRecord } from '../../ledger/ledger.ts'
import type { MarketplaceProbe } from '../../marketplace/probe.ts'
import { accountName } from '../../text/account.ts'
import { printable } from '../../text/printable.ts'
import { distance, shortTime } from '../../text/time.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import { readAnswers, requestFor } from '../answers.ts'
import type { Finding } from './finding.ts'
import { closedHour } from './ledger.ts'
import { refusalFinding } from './marketplace.ts'

/**
 * Records of quantity 0 for a test customer: what tells that AWS takes usage of a customer and dimension.
 *
 * AWS takes one quantity for a customer, dimension and hour, and the first one stays: a 0 for an hour in which there is
 * usage would have that refused. So they go only where no usage can follow: the customer has none in the ledger, and
 * the hour is closed in it, so that what comes later goes into another hour.
 */
export interface TestFacts {
  readonly probe: MarketplaceProbe
  readonly customer: CustomerAccount
  readonly region: string
  readonly dimensions: readonly string[]
  /** Undefined where there is none, or it cannot be read. */
  readonly ledger: { readonly ledger: Ledger; readonly status: LedgerStatus } | undefined
  /** By the ledger's clock, in milliseconds since the epoch. */
  readonly now: number
  readonly deadlineMargin: number
}

const NAME = 'test customer'

/** One finding for each dimension; or one that says why nothing was sent. */
export async function testCustomerFindings(facts: TestFacts): Promise<Finding[]> {
  const { customer, dimensions } = facts
  const who = accountName(customer)
  if (dimensions.length === 0) {
    return [notSent(`no dimension is known here to try ${who} with`, 'Name one by --dimension, or use --config.')]
  }
  const hour = await safeHour(facts)
  if (typeof hour !== 'number') return [hour]
  const findings: Finding[] = []
  for (const dimension of dimensions) findings.push(await trial(facts, dimension, hour))
  return findings
}

const notSent = (why: string, advice: string): Finding => ({
  ...{ name: NAME, state: 'warning', message: `No record was sent: ${why}.` },
  advice,
})

/** An hour that nobody's usage can go into any more, or why there is none. */
async function safeHour({ ledger: found, customer, now, deadlineMargin }: TestFacts): Promise<number | Finding> {
  const who = accountName(customer)
  // One that is not the right one would say so of every customer.
  if (found === undefined) {
    return notSent(`without its ledger it is not known whether ${who} has usage`, START)
  }
  const { ledger, status } = found
  const names = [customer.key, customer.accountId, customer.customerIdentifier]
  for (const name of names) {
    if (name === undefined || (await ledger.statement({ customer: name })).length === 0) continue
    const why = `${who} has usage in this ledger, whose hour a record of quantity 0 could take`
    return notSent(why, `Its own records tell more: marketplace-meter records --customer ${printable(name)}`)
  }
  const hour = closedHour(status, now)
  if (hour === undefined) return notSent('this ledger has closed no hour yet, so that usage could go into any', START)
  if (windowClosesAt(hour) - deadlineMargin > now) return hour
  const why = `the last hour that this ledger has closed, ${shortTime(hour)} (${distance(hour, now)}), is one that AWS no longer takes`
  return notSent(why, START)
}

const START = 'Start the exporter or gateway, which closes an hour with its first pass, and run "doctor" again.'

async function trial({ probe, customer, region }: TestFacts, dimension: string, hour: number): Promise<Finding> {
  const what = `${accountName(customer)}, ${printable(dimension)}`
  const identity = customer.licenseArn === undefined ? 'product-code' : 'licence'
  const lane = { id: '', product: customer.product, identity, region } as const
  const record: MeteringRecord = {
    ...{ id: '', claim: '', account: customer, dimension, quantity: 0, timestamp: hour + HOUR - SECOND },
    ...{ deadline: windowClosesAt(hour), attempts: 1, unanswered: 1 },
  }
  const reply = await probe.send(requestFor(lane, [record]))
  if (reply.error !== undefined) {
    const finding = refusalFinding(NAME, reply)
    return { ...finding, message: `${what}: ${finding.message}` }
  }
  const { answers, nonsense } = readAnswers([record], reply.result)
  const said = answers[0]?.said ?? 'nothing'
  const sent = `A record of quantity 0 for ${what} and the hour ${shortTime(hour)}`
  switch (said) {
    case 'Success':
      return {
        ...{ name: NAME, state: 'ok' },
        message: `${sent} was taken: it bills nothing, and the hour is closed for this customer and dimension.`,
      }
    case 'DuplicateRecord':
      return {
        ...{
          name: NAME,
          state: 'warning',
          message: `${sent} was refused as DuplicateRecord: somebody else has metered it.`,
        },
        advice:
          'Look who: two ledgers or tools that meter the same product lose the usage of one. "marketplace-meter reconcile" tells, from CloudTrail.',
      }
    case 'CustomerNotSubscribed':
      return {
        ...{ name: NAME, state: 'fault', message: `${sent} was refused as CustomerNotSubscribed.` },
        advice:
          'Compare account id and licence with what ResolveCustomer answers, and look whether the agreement is active.',
      }
    default:
      return {
        ...{ name: NAME, state: 'warning', message: `${sent} has no answer that tells (${nonsense || said}).` },
        advice: 'Run "doctor" again: the same record is never billed twice.',
      }
  }
}
