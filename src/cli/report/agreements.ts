import type { Agreement } from '../../ledger/ledger.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { agreementText } from '../../text/agreement.ts'
import { csv } from '../../text/csv.ts'
import { printable } from '../../text/printable.ts'
import { type Column, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { Agreement as AgreementOutput, AgreementTerms } from '../json.ts'

/** The columns of a table in which what is told of an agreement stands beside something else. */
export const AGREEMENT_CELLS = ['agreement', 'agreement_since', 'agreement_until', 'refused_since']

export function agreementsTable(agreements: readonly Agreement[], options: TableOptions = {}): string {
  const columns: Column<Agreement>[] = [
    { title: 'CUSTOMER', of: ({ account }) => accountLabel(account) },
    { title: 'LICENCE', of: ({ account }) => licenceLabel(account) || '-', optional: true },
    { title: 'PRODUCT', of: ({ account }) => printable(account.product), optional: true },
    ...(agreements.some(({ tenant }) => tenant !== undefined)
      ? [{ title: 'TENANT', of: ({ tenant = '-' }: Agreement) => printable(tenant) }]
      : []),
    { title: 'AGREEMENT', of: agreement => agreementText(agreement) },
    ...(agreements.some(({ refusedSince }) => refusedSince !== undefined)
      ? [
          {
            title: 'REFUSED SINCE',
            of: ({ refusedSince }: Agreement) => (refusedSince === undefined ? '' : shortTime(refusedSince)),
          },
        ]
      : []),
  ]
  return table(columns, agreements, options)
}

export function agreementsJson(agreements: readonly Agreement[]): AgreementOutput[] {
  return agreements.map(agreement => ({ account: agreement.account, ...agreementJson(agreement) }))
}

/** What is known of an agreement, for a program. Times are ISO 8601. */
export function agreementJson({ account: _, since, until, refusedSince, ...rest }: Agreement): AgreementTerms {
  return {
    ...rest,
    ...(since !== undefined && { since: iso(since) }),
    ...(until !== undefined && { until: iso(until) }),
    ...(refusedSince !== undefined && { refusedSince: iso(refusedSince) }),
  }
}

export function agreementsCsv(agreements: readonly Agreement[]): string {
  return csv(
    [
      'account',
      'product',
      'account_id',
      'customer_identifier',
      'license_arn',
      'product_code',
      'tenant',
      ...AGREEMENT_CELLS,
    ],
    agreements.map(agreement => {
      const { account, productCode, tenant } = agreement
      const { key, product, accountId, customerIdentifier, licenseArn } = account
      return [
        key,
        product,
        accountId,
        customerIdentifier,
        licenseArn,
        productCode,
        tenant,
        ...agreementCells(agreement),
      ]
    }),
  )
}

/** What `AGREEMENT_CELLS` names; nothing where nothing is known. */
export function agreementCells(agreement: Agreement | undefined): (string | undefined)[] {
  const { state, since, until, refusedSince } = agreement ?? {}
  return [state, ...[since, until, refusedSince].map(time => (time === undefined ? undefined : iso(time)))]
}
