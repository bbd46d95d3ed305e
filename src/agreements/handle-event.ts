import { DAY, MINUTE } from '../ledger/hours.ts'
import type { Agreement, AgreementNews, AgreementResult, Ledger } from '../ledger/ledger.ts'
import { type AgreementEvent, readAgreementEvent } from '../marketplace/agreement-events.ts'
import { type CustomerAccount, customerAccount, licenceId } from '../usage/account.ts'
import { type AgreementsOptions, noteOptions, type ParsedAgreementsOptions, parseOptions } from './options.ts'

/** What became of an event. */
export interface HandledEvent {
  readonly event: AgreementEvent
  /**
   * - `noted`: the ledger knows it now, or did before;
   * - `told`: it changes nothing here, and is for a person to know: an advisory, a spend threshold, the end of a purchase
   *   agreement, which does not end metering;
   * - `other-product`: it is of a product that is not followed here;
   * - `unknown`: nothing that metering knows of.
   */
  readonly outcome: 'noted' | 'told' | 'other-product' | 'unknown'
  /** Whose agreement it is, where it is noted. */
  readonly account?: CustomerAccount
  /** What the ledger did with it. */
  readonly result?: AgreementResult
  /** Of an end: after how many milliseconds it is to be handled again, when all that was used before it has come. */
  readonly again?: number
}

/**
 * Takes in what AWS tells of an agreement, by EventBridge or SNS: what is active is known and unblocked, what has ended
 * is finalized as of the event's time. It asks nothing of AWS. An event may come several times, late and in any order.
 * What an application measured before an end, and has not exported yet, is not in what is finalized: deliver events some
 * minutes late (a queue can, by `DelaySeconds`), or follow a queue, which waits by itself.
 *
 * @param event EventBridge's, or an SNS message: the object, or the JSON that an SQS message's body is
 * @returns when the ledger has it durably: only then is the message to be deleted
 * @throws AgreementEventError where it is no event; whoever delivers it again and again should set it aside
 * @throws LedgerError where the ledger cannot take it: then it is to be delivered again
 * @throws ConfigurationError naming each option that is wrong
 */
export async function handleAgreementEvent(event: unknown, options: AgreementsOptions): Promise<HandledEvent> {
  return await noteAgreementEvent(readAgreementEvent(event), parseOptions(options))
}

/**
 * The same for one that was read.
 *
 * @param postpone whether an end that has just come may be handled again, when usage of before has had its time to come
 */
export async function noteAgreementEvent(
  event: AgreementEvent,
  options: ParsedAgreementsOptions,
  { postpone = false } = {},
): Promise<HandledEvent> {
  const news = newsOf(event, options)
  if (typeof news === 'string') return { event, outcome: news }
  const { name, what, at, agreementId } = news
  const { ledger, productCode } = options
  const account = await knownAccount(ledger, name)
  const told = { what, at, productCode, ...(agreementId !== undefined && { agreementId }) }
  const by = { who: `AWS event ${event.id ?? 'without an id'}`, why: news.why }
  const terms = await noteOptions(options, by)
  const { closeDelay } = options
  const wait = what === 'ended' && postpone ? at + closeDelay - terms.now : 0
  // A longer one is from a clock that is wrong.
  const again = wait > 0 && wait <= closeDelay + MINUTE ? wait : undefined
  const result = await ledger.noteAgreement(account, told, { ...terms, freeze: again === undefined })
  if (account.licenseArn !== undefined) await passTenantOn(account, options, by.who)
  return { event, outcome: 'noted', account, result, ...(again !== undefined && { again }) }
}

interface News extends Pick<AgreementNews, 'what' | 'at' | 'agreementId'> {
  readonly name: CustomerAccount
  readonly why: string
}

function newsOf(
  event: AgreementEvent,
  { productCode, product, now }: ParsedAgreementsOptions,
): News | Exclude<HandledEvent['outcome'], 'noted'> {
  switch (event.type) {
    case 'licence-active':
    case 'licence-ended': {
      const { type, at, accountId, licenseArn, agreementId } = event
      // Without a code it cannot be told whose it is.
      if (event.productCode !== productCode) return 'other-product'
      const name = customerAccount({ product: product ?? productCode, accountId, licenseArn })
      const [what, why] =
        type === 'licence-active'
          ? (['active', 'License Updated'] as const)
          : (['ended', 'License Deprovisioned'] as const)
      return { name, what, at, why, ...(agreementId !== undefined && { agreementId }) }
    }
    case 'subscription': {
      const { what, customerIdentifier, at = now() } = event
      if (event.productCode !== productCode) return 'other-product'
      const name = customerAccount({ product: productCode, customerIdentifier })
      return { name, what: what === 'active' ? 'active' : 'ended', at, why: SUBSCRIPTION[what] }
    }
    case 'unknown':
      return 'unknown'
    default: {
      const { productCode: code } = event as { readonly productCode?: string }
      return code === undefined || code === productCode ? 'told' : 'other-product'
    }
  }
}

const SUBSCRIPTION = {
  active: 'subscribe-success',
  failed: 'subscribe-fail',
  ending: 'unsubscribe-pending',
  ended: 'unsubscribe-success',
} as const

/**
 * The account as the ledger has it: of a licence AWS's examples and its answers write different ARNs, which end alike;
 * a customer with an older identifier, whose usage does not go by it, may be known by its AWS account.
 */
async function knownAccount(ledger: Ledger, name: CustomerAccount): Promise<CustomerAccount> {
  const id = name.accountId ?? (name.customerIdentifier as string)
  const [known, lines] = await Promise.all([ledger.agreements({ customer: id }), ledger.statement({ customer: id })])
  const registered = known.filter(({ customerIdentifier }) => customerIdentifier === id)
  const accounts = [...lines, ...registered, ...known].flatMap(({ account }) =>
    account.kind === 'customer' ? [account] : [],
  )
  return (
    accounts.find(
      account =>
        licenceOf(account) === licenceOf(name) && (name.licenseArn !== undefined || account.product === name.product),
    ) ?? name
  )
}

/** A licence that follows another begins at the latest so long after it, in milliseconds. */
const FOLLOWS_WITHIN = DAY

/**
 * A renewed agreement may come with another licence, and no event says whom the seller calls so: the tenant of one that
 * is over goes on with the one licence of the account that has none. Whoever holds two at once has registered each.
 * It is looked at after the event is noted, so that of two that are handled at once one sees the other.
 */
async function passTenantOn(
  { accountId, product }: CustomerAccount,
  options: ParsedAgreementsOptions,
  who: string,
): Promise<void> {
  const { ledger } = options
  const known = await ledger.agreements({ customer: accountId as string })
  const licences = known.filter(({ account }) => account.product === product && account.licenseArn !== undefined)
  const [inForce, over] = [licences.filter(isInForce), licences.filter(one => !isInForce(one))]
  const [heir, ...others] = inForce.filter(({ tenant }) => tenant === undefined)
  if (heir?.since === undefined || others.length > 0) return
  const { since } = heir
  const tenant = over
    .filter(({ until = 0 }) => since <= until + FOLLOWS_WITHIN)
    .toSorted((one, other) => (other.until ?? 0) - (one.until ?? 0))
    .map(one => one.tenant)
    .find(name => name !== undefined && inForce.every(one => one.tenant !== name))
  if (tenant === undefined) return
  const news = { what: 'registered', at: since, tenant, keepTenant: true } as const
  const by = { who, why: 'its tenant had another licence, which is over' }
  await ledger.noteAgreement(heir.account, news, await noteOptions(options, by))
}

const isInForce = ({ state }: Agreement): boolean => state !== 'ended'

const licenceOf = ({ licenseArn }: CustomerAccount) => licenseArn && licenceId(licenseArn)
