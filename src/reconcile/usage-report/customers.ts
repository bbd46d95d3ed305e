import type { Agreement } from '../../ledger/ledger.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import type { EventFile } from '../event-files.ts'
import { cellText, columnOf, readRows, type Unread } from './csv-rows.ts'
import type { UsageReportKind } from './report-rows.ts'

/** The ledger's customers and the report's, by one name: the AWS account, or the older identifier where none is known. */
export class Customers {
  /** AWS accounts by the older identifiers of the same customers. */
  readonly #accounts = new Map<string, string>()
  /** The older identifiers that AWS's report can have. */
  readonly #identifiers = new Set<string>()
  /** What the feed has in the place of accounts, by that; nothing without an Account feed. */
  #hashes: Map<string, string> | undefined

  constructor(agreements: readonly Agreement[]) {
    for (const { account, customerIdentifier } of agreements) this.#link(account.accountId, customerIdentifier)
  }

  /**
   * Reads AWS's Account feed. A hash is of one account for ever, so its revisions change nothing here.
   *
   * @throws UsageReportError where a column is missing
   */
  async read(files: readonly EventFile[], unread: Unread): Promise<void> {
    const hashes = new Map<string, string>()
    for (const file of files) {
      await readRows(
        file,
        columns => {
          const [hash, account, identifier] = (['account_id', 'aws_account_id', 'encrypted_account_id'] as const).map(
            name => columnOf(columns, [name], file.name),
          ) as [number, number, number]
          return row => {
            const accountId = accountNumber(cellText(row[account]))
            const customerIdentifier = cellText(row[identifier])
            this.#link(accountId, customerIdentifier)
            if (customerIdentifier !== '') this.#identifiers.add(customerIdentifier)
            const name = accountId === '' ? customerIdentifier : accountId
            if (name !== '') hashes.set(row[hash] ?? '', name)
          }
        },
        unread,
      )
    }
    this.#hashes = hashes
  }

  #link(accountId: string | undefined, identifier: string | undefined): void {
    if (accountId && identifier) this.#accounts.set(identifier, accountId)
  }

  /** Whether customers can be told apart at all. */
  known(kind: UsageReportKind): boolean {
    return kind === 'usage-dataset' || this.#hashes !== undefined
  }

  /** The customer of an account in a report; nothing where it cannot be said. */
  reported(kind: UsageReportKind, account: string): string {
    if (kind === 'usage-dataset') return accountNumber(account)
    const name = this.#hashes?.get(account) ?? ''
    return this.#accounts.get(name) ?? name
  }

  /** A customer of the ledger's, and whether the report could have it under this name. */
  ofLedger({ accountId, customerIdentifier = '' }: CustomerAccount): {
    readonly name: string
    readonly joined: boolean
  } {
    const account = accountId ?? this.#accounts.get(customerIdentifier)
    if (account !== undefined) return { name: account, joined: true }
    return { name: customerIdentifier, joined: this.#identifiers.has(customerIdentifier) }
  }
}

/** Tools that take it for a number lose the zeros that it begins with. */
const accountNumber = (text: string): string => (/^\d{1,11}$/.test(text) ? text.padStart(12, '0') : text)
