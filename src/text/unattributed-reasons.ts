import type { UnattributedReason } from '../usage/account.ts'

/** Why nobody can be billed for usage, and what to do before a person decides on it. */
export const UNATTRIBUTED_REASONS: Readonly<Record<UnattributedReason, string>> = {
  'no-customer': 'the data points name no customer',
  'malformed-customer':
    'what names the customer is no account id or licence, or it has no licence where only product is configured: mend what ' +
    'records it, or set productCode beside product; then attribute it',
  'licence-without-product':
    'the customer has a licence, and only a product code is configured: set product beside productCode, then attribute ' +
    'it to the customer with its licence',
  'unknown-tenant':
    'no agreement is known of whom you call so: register the customer, or import its agreement with this tenant, then ' +
    'attribute it',
  overflow:
    'beyond its cardinality limit the SDK has added up usage without its customers, and nothing in it tells any more ' +
    "whose it is: first raise the limit (the reader's cardinalityLimits, or billingViews' cardinalityLimit), then write " +
    "it off, or attribute it by the application's own records",
  'resolver-failed': 'the customer could not be looked up',
  'old-counter': 'a new counter that began long before: it may be a known one under another name',
  'too-late': 'deltas so late that nobody can tell whether they were counted',
  'sender-limit':
    'its sender had more customers or series in a day than it may have: first look whether they are real, and raise ' +
    'the limits of its token if they are',
  'several-writers':
    'several processes count under one name, so nobody knows how much of it was used: first give each a ' +
    "service.instance.id (a scraped target an instance), then compare with the application's own records, and " +
    'attribute it or write it off',
}
