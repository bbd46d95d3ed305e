import type { CustomerAccount } from '../../../src/usage/account.ts'
import { type Act, CODE, type DimensionName, olderIdentifier, SIZES } from './script.ts'

/**
 * What each customer is to be billed, by AWS's rules and what the customer does: written from them alone, and not from
 * the code that meters. Times are milliseconds since the epoch.
 */

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** An hour is closed so long after its end, and nothing is sent so long before AWS's window closes. */
const CLOSE_DELAY = 5 * MINUTE
const MARGIN = 5 * MINUTE
/** AWS tells that a licence is active so long after the buyer has accepted. */
const TOLD_AFTER = 72_000
/** What AWS refuses of an agreement that is known is asked again so often, and for the last time so long before its end. */
const ASKED_AGAIN = HOUR
const ASKED_LAST = 5 * MINUTE

const hourOf = (time: number) => Math.floor(time / HOUR) * HOUR

/** When AWS stops taking usage of an hour. */
function windowEnd(hour: number): number {
  const date = new Date(hour)
  return Math.min(hour + 24 * HOUR, Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1, 6))
}

/** When an agreement was in force; `activeAt` is when AWS begins to take its usage. */
interface Period {
  readonly from: number
  to: number
  activeAt: number
}

/** That the metering side hears, at `heardAt`, that an agreement began or ended at `at`. */
interface News {
  readonly heardAt: number
  readonly what: 'began' | 'ended'
  readonly at: number
}

/** A record that is to be: of all that was used in an hour, as far as was known when it was made. */
export interface Expected {
  readonly hour: number
  readonly quantity: number
  readonly fate: 'billed' | 'held'
  /** Why it may be held. */
  readonly reasons: readonly string[]
  /** Whether AWS would have taken it. */
  readonly takeable: boolean
}

/** Of one identity of a customer. */
export class PayerOracle {
  readonly account: CustomerAccount
  readonly #acts: readonly Act[]
  readonly #periods: Period[]
  readonly #suspended: readonly (readonly [from: number, to: number])[]
  readonly #news: readonly News[]

  constructor(account: CustomerAccount, acts: readonly Act[]) {
    this.account = account
    this.#acts = acts.filter(act => act.payer.key === account.key)
    this.#periods = periodsOf(account, acts)
    this.#suspended = suspensionsOf(account, acts)
    this.#news = newsOf(account, acts, this.#periods)
  }

  /** The records of a dimension, and what is left of base units that is no whole unit. */
  records(dimension: DimensionName): { records: Expected[]; rest: number } {
    const size = SIZES[dimension]
    const uses = this.#acts.flatMap(act =>
      act.type === 'use' ? [{ at: act.at, order: 0, amount: act.amounts[dimension] }] : [],
    )
    if (uses.length === 0) return { records: [], rest: 0 }
    const ends = this.#news.flatMap(({ what, heardAt }) => (what === 'ended' ? [{ at: heardAt, order: 1 }] : []))
    const [first, last] = [hourOf(uses[0]?.at ?? 0), hourOf(uses.at(-1)?.at ?? 0) + 3 * HOUR]
    const hours = Array.from({ length: (last - first) / HOUR }, (_, index) => first + index * HOUR)
    const closings = hours.map(hour => ({ at: hour + HOUR + CLOSE_DELAY, order: 2, hour }))
    const moments: { at: number; order: number; amount?: number; hour?: number }[] = [...uses, ...ends, ...closings]
    const open = new Map<number, number>()
    const made = new Map<number, Expected>()
    let balance = 0
    const make = (hour: number, now: number) => {
      for (const [used, amount] of open) {
        if (used > hour) continue
        balance += amount
        open.delete(used)
      }
      const quantity = Math.floor(balance / size)
      // AWS takes one quantity for an hour: what comes later goes with the next.
      if (quantity === 0 || made.has(hour)) return
      balance -= quantity * size
      made.set(hour, { hour, quantity, ...this.#fate(hour, now) })
    }
    for (const { at, amount, hour } of moments.sort((a, b) => a.at - b.at || a.order - b.order)) {
      if (amount !== undefined) open.set(hourOf(at), (open.get(hourOf(at)) ?? 0) + amount)
      else if (hour !== undefined) make(hour, at)
      else {
        // At an end all is sent at once: also of the hour before, where that is not closed.
        const end = this.#endKnown(at)
        if (end === undefined) continue
        const its = hourOf(end - 1)
        if (at <= its + CLOSE_DELAY) make(its - HOUR, at)
        make(its, at)
      }
    }
    return { records: [...made.values()], rest: balance }
  }

  /** Whether AWS takes usage at a time that is stamped with some second from one on of its hour. */
  #takes(hour: number, now: number, from = hour): boolean {
    if (now >= windowEnd(hour) - MARGIN) return false
    if (this.#suspended.some(([from, to]) => from <= now && now < to)) return false
    return this.#periods.some(period => {
      const inHour = period.from < hour + HOUR && period.to >= from
      return inHour && now >= Math.max(period.from, period.activeAt) && now <= period.to + HOUR
    })
  }

  /**
   * From which second on it is stamped: by a product code AWS says of a time after an end what it says of a suspended
   * account, too, so that an earlier second is tried only when the end is told. Of a licence it says more.
   */
  #stampedFrom(hour: number, now: number): number {
    const told = this.#known(now).some(({ what, at }) => what === 'ended' && hourOf(at - 1) === hour)
    return told || this.account.licenseArn !== undefined ? hour : hour + HOUR - SECOND
  }

  /** What is known at a time of an hour: that it is inside an agreement, in part at least, that it is not, or nothing. */
  #standing(hour: number, now: number): 'inside' | 'outside' | 'unknown' {
    const known = this.#known(now)
    let [result, since]: ['inside' | 'outside' | 'unknown', number] = ['outside', Number.NEGATIVE_INFINITY]
    for (const [index, next] of [...known, undefined].entries()) {
      const before = known[index - 1]
      const [from, to] = [since, next?.at ?? Number.POSITIVE_INFINITY]
      since = to
      if (to <= hour || from >= hour + HOUR || to <= from) continue
      if (before === undefined) result = 'unknown'
      else if (before.what === 'began') return 'inside'
    }
    return result
  }

  /** When the agreement ended that has not begun again, by what is known at a time. */
  #endKnown(now: number): number | undefined {
    const known = this.#known(now)
    return known[known.findLastIndex(({ what }) => what === 'began') + 1]?.at
  }

  #known(now: number): readonly News[] {
    return this.#news.filter(({ heardAt }) => heardAt <= now).sort((a, b) => a.at - b.at)
  }

  /** What becomes of a record that is made at a time. */
  #fate(hour: number, made: number): Pick<Expected, 'fate' | 'reasons' | 'takeable'> {
    const heard = this.#news.map(({ heardAt }) => heardAt).filter(at => at > made)
    const changes = [
      ...this.#periods.flatMap(({ from, to, activeAt }) => [from, activeAt, to + HOUR + 1]),
      ...this.#suspended.flat(),
      ...heard,
    ]
    const deadline = windowEnd(hour) - MARGIN
    const instants = [made, ...new Set(changes.filter(at => at > made && at < deadline))].sort((a, b) => a - b)
    const spans = instants.map((from, index) => ({ from, to: instants[index + 1] ?? deadline }))
    const takeable = spans.filter(({ from }) => this.#takes(hour, from))
    const asked = takeable.some(({ from, to }) => {
      if (!this.#takes(hour, from, this.#stampedFrom(hour, from))) return false
      const standing = this.#standing(hour, from)
      const end = this.#endKnown(from)
      if (standing === 'outside' || (end !== undefined && from >= end + HOUR - MARGIN)) return false
      if (from === made) return true
      // News of an agreement, or of its end in this hour, are a reason to ask again.
      const endsHere = end !== undefined && hourOf(end - 1) === hour
      if (heard.includes(from) && (standing === 'inside' || endsHere)) return true
      return standing === 'inside' && (to - from > ASKED_AGAIN || (to === deadline && from <= deadline - ASKED_LAST))
    })
    const atFirst = this.#standing(hour, made)
    const ended = this.#news.some(({ what, at }) => what === 'ended' && at >= hour)
    // Of usage from before a subscription by product code AWS says that its time is out of bounds.
    const early = this.#periods.some(({ from }) => from >= hour + HOUR && from < deadline)
    const reasons = [
      ...(early && this.account.licenseArn === undefined ? ['refused'] : []),
      ...(atFirst === 'outside' || ended ? ['agreement-ended'] : []),
      ...(atFirst !== 'outside' || this.#standing(hour, deadline) !== 'outside' ? ['not-subscribed'] : []),
    ]
    return { fate: asked ? 'billed' : 'held', reasons, takeable: takeable.length > 0 }
  }
}

function periodsOf({ key }: CustomerAccount, acts: readonly Act[]): Period[] {
  const periods: Period[] = []
  const begin = (from: number, pending = false) => {
    periods.push({ from, to: Number.POSITIVE_INFINITY, activeAt: pending ? Number.POSITIVE_INFINITY : from })
  }
  for (const act of acts) {
    const last = act.payer.key === key ? periods.at(-1) : undefined
    if (act.payer.key === key && act.type === 'subscribe') begin(act.at, act.pending)
    if (last !== undefined && act.type === 'activate') last.activeAt = act.at
    if (last !== undefined && act.type === 'end') last.to = act.at
    if (act.type === 'renew' && act.as.key !== act.payer.key) {
      if (last !== undefined) last.to = act.at
      if (act.as.key === key) begin(act.at)
    }
  }
  return periods
}

/** AWS suspends an account, and with it all that it has. */
function suspensionsOf(account: CustomerAccount, acts: readonly Act[]): [number, number][] {
  const id = ({ accountId, customerIdentifier }: CustomerAccount) => accountId ?? customerIdentifier
  const its = acts.filter(({ payer }) => id(payer) === id(account))
  return its.flatMap(act => {
    if (act.type !== 'suspend') return []
    const to = its.find(({ type, at }) => type === 'resume' && at > act.at)?.at ?? Number.POSITIVE_INFINITY
    return [[act.at, to] as [number, number]]
  })
}

/** What is heard of an identity: AWS's events, those that come twice too, who registers, and what a person tells. */
function newsOf(account: CustomerAccount, acts: readonly Act[], periods: readonly Period[]): News[] {
  const { key, licenseArn, customerIdentifier } = account
  // SNS names the older identifier alone: whose it is may be known by a registration, from then on.
  const registered = acts.find(({ type, payer }) => type === 'register' && payer.key === key)?.at
  const [named, since] = [
    licenseArn !== undefined || customerIdentifier !== undefined,
    olderIdentifier(account) === undefined ? undefined : registered,
  ]
  return acts.flatMap(act => {
    const { late = 0, again = undefined } = act as { late?: number; again?: number }
    const heard = (what: News['what'], at: number): News[] =>
      [late, ...(again === undefined ? [] : [late + again])]
        .map(after => ({ heardAt: at + after, what, at }))
        .filter(({ heardAt }) => named || (since !== undefined && heardAt >= since))
    if (act.type === 'renew' && act.as.key === key) return heard('began', act.at + TOLD_AFTER)
    if (act.payer.key !== key) return []
    if (act.type === 'register') return [{ heardAt: act.at, what: 'began', at: act.at }]
    if (act.type === 'finalize') return [{ heardAt: act.at, what: 'ended', at: act.endedAt }]
    switch (act.type) {
      case 'subscribe':
        return act.pending ? [] : heard('began', act.at + TOLD_AFTER)
      case 'activate':
        return heard('began', act.at)
      case 'amend':
        return licenseArn === undefined ? [] : heard('began', act.at + TOLD_AFTER)
      case 'renew':
        return heard('ended', act.at)
      case 'end': {
        if (licenseArn !== undefined) return heard('ended', act.at)
        // What closes it is not told of who is back before.
        const back = periods.some(({ from }) => from >= act.at && from < act.at + HOUR)
        return [...heard('ended', act.at), ...(back ? [] : heard('ended', act.at + HOUR))]
      }
      default:
        return []
    }
  })
}

/** Whether two identities are of one AWS account: a licence of a product, and the product's code. */
export function isTwin(one: CustomerAccount, other: CustomerAccount): boolean {
  if (one.accountId === undefined || one.accountId !== other.accountId) return false
  return (one.licenseArn === undefined && one.product === CODE) !== (other.licenseArn === undefined)
}
