import type { AuditEntry } from '../../ledger/ledger.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { csv } from '../../text/csv.ts'
import { printable } from '../../text/printable.ts'
import { type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import type { Sender as SenderOutput } from '../json.ts'

/** A customer that a sender feeds. */
interface Feed {
  readonly sender: string
  readonly customer: CustomerAccount
  /** By the gateway's clock, and by the ledger's. */
  readonly since: number
  readonly writtenAt: number
}

/** By sender, and of each since when. */
function feedsOf(entries: readonly AuditEntry[]): Feed[] {
  const feeds = entries.toReversed().map(({ who, account, at, writtenAt = at }) => {
    return { sender: who, customer: account as CustomerAccount, since: at, writtenAt }
  })
  return feeds.sort((a, b) => (a.sender < b.sender ? -1 : a.sender > b.sender ? 1 : a.since - b.since))
}

export function sendersTable(entries: readonly AuditEntry[], options: TableOptions = {}): string {
  if (entries.length === 0) return 'No senders: none that has a name has sent usage of a customer to this ledger.'
  return table<Feed>(
    [
      { title: 'SENDER', of: ({ sender }) => printable(sender) },
      { title: 'CUSTOMER', of: ({ customer }) => accountLabel(customer) },
      { title: 'LICENCE', of: ({ customer }) => licenceLabel(customer) || '-', optional: true },
      { title: 'PRODUCT', of: ({ customer }) => printable(customer.product), optional: true },
      { title: 'SINCE', of: ({ since }) => shortTime(since) },
    ],
    feedsOf(entries),
    options,
  )
}

export function sendersJson(entries: readonly AuditEntry[]): SenderOutput[] {
  return feedsOf(entries).map(({ since, writtenAt, ...feed }) => {
    return { ...feed, since: iso(since), writtenAt: iso(writtenAt) }
  })
}

export function sendersCsv(entries: readonly AuditEntry[]): string {
  return csv(
    ['sender', 'customer', 'since', 'written_at'],
    feedsOf(entries).map(({ sender, customer, since, writtenAt }) => {
      return [sender, customer.key, iso(since), iso(writtenAt)]
    }),
  )
}
