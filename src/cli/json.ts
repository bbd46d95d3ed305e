/** What commands print with `--json`, shown in json.md: it is public, and semantic versioning covers it. */

/** ISO 8601 in UTC, such as 2026-11-21T09:40:00.000Z. */
export type Time = string
/** An exact decimal number of any length, such as 12345 or -0.25: a number of JSON would lose digits. */
export type Decimal = string
/** What amounts count: seconds, bytes, or pieces. */
export type BaseUnit = 's' | 'By' | '1'

export interface Customer {
  kind: 'customer'
  /** What AWS bills apart, as one text; `--customer` takes it. */
  key: string
  /** The product code, or your label of a product whose customers have licences. */
  product: string
  /** 12 digits. */
  accountId?: string
  customerIdentifier?: string
  licenseArn?: string
}

/** Usage that nobody can be billed for, until a person says whose it is. */
export interface Unattributed {
  kind: 'unattributed'
  key: string
  product: string
  reason:
    | ('no-customer' | 'malformed-customer' | 'licence-without-product' | 'unknown-tenant' | 'overflow')
    | ('resolver-failed' | 'old-counter' | 'too-late' | 'several-writers' | 'sender-limit')
  /** What the data points said: JSON in a text, cut off after 256 characters. */
  evidence: string
}

export type Account = Customer | Unattributed

export type HeldReason =
  | ('in-doubt' | 'restored' | 'conflict' | 'not-subscribed' | 'refused')
  | ('over-maximum' | 'two-identities' | 'entitlement-unknown' | 'agreement-ended')

/** Why points of others' counters were not simply counted. */
export type NotCounted =
  | ('baseline' | 'old-counter' | 'too-late' | 'conflict' | 'gap' | 'shared-identity')
  | ('sent-twice' | 'moving-start' | 'clock-ahead' | 'out-of-range')

/** Usage of a dimension: `amount` in base units, which are null where the ledger no longer knows the dimension. */
export interface Figure {
  dimension: string
  amount: Decimal
  baseUnit: BaseUnit | null
}

/** From an instant up to, but not with, another. */
export interface Span {
  from: Time
  to: Time
}

/** Where records of a region, or of all that are not named, are sent. */
export interface Endpoint {
  region: string | null
  /** `aws`, `localhost`, or a host with its port. */
  endpoint: string
  since: Time
  /** Who has decided it; `metering` where it is where the first record went. */
  who: string
}

/** Up to when a region was reconciled with AWS. */
export interface Reconciled {
  region: string
  /** Null where it never was. */
  until: Time | null
  hours: readonly Span[]
  /** How many findings of each verdict are open. */
  open: { [verdict in Verdict]?: number }
  /** Calls of which CloudTrail has left out the records. */
  leftOut: number
}

/** `status`, with `--check` too. */
export interface Status {
  at: Time
  /** The ledger's address, without a password. */
  ledger: string
  /** In bytes; null where it is no file. */
  fileSize: number | null
  /** The last hour that is closed. */
  closedThrough: Time | null
  oldestPendingHour: Time | null
  pending: (Figure & { records: number })[]
  held: (Figure & { records: number; reason: HeldReason })[]
  unattributed: Figure[]
  /** Of others' counters: it cannot be told yet whether it is usage. */
  waiting: Figure[]
  /** How many points, since the ledger began. */
  notCounted: { [reason in NotCounted]?: number }
  /** More than AWS takes in an hour; null where who asks may not fold what waits. */
  overflows: (Figure & { customers: number; hours: number })[] | null
  endpoints: Endpoint[]
  /** The last answers of AWS. */
  answers: { product: string; identity: 'product-code' | 'licence'; region: string; answer: string; at: Time }[]
  reconciled: Reconciled[]
  /** Of `status --check`: 0, 1 or 2. */
  exitStatus: number
  problems: { level: 'WARNING' | 'CRITICAL'; message: string; advice: string }[]
}

/** Amounts in base units: recorded = included + metered + pending + held + balance. */
export interface Figures {
  recorded: Decimal
  included: Decimal
  metered: Decimal
  pending: Decimal
  held: Decimal
  heldByReason: { [reason in HeldReason]?: Decimal }
  balance: Decimal
}

/** Whole units of the dimension, as AWS bills them. */
export interface Quantities {
  included: Decimal
  metered: Decimal
  pending: Decimal
  held: Decimal
}

/** A series that does not add up. */
export interface Breach extends Figures {
  account: Account
  dimension: string
  difference: Decimal
}

export interface AgreementTerms {
  state: 'registered' | 'active' | 'ended'
  since?: Time
  until?: Time
  /** Since when AWS says that the customer is not subscribed. */
  refusedSince?: Time
  tenant?: string
  productCode?: string
  agreementId?: string
  customerIdentifier?: string
}

/** `statement` */
export interface Statement {
  at: Time
  from: Time | null
  to: Time | null
  /** With `--by`. */
  by?: 'hour' | 'day' | 'month'
  /** With `--rate-card`: three letters, and what all that is metered costs; null where some of it has no price. */
  currency?: string
  charge?: Decimal | null
  /** Dimensions of which something metered has no price. */
  unpriced?: string[]
  lines: (Figures & {
    /** With `--by`. */
    from?: Time
    to?: Time
    quantities?: Quantities
    account: Account
    agreement?: AgreementTerms
    dimension: string
    /** With `--rate-card`. */
    price?: Decimal | null
    charge?: Decimal | null
  })[]
  dimensions: {
    name: string
    /** As UCUM writes it: {token}, h, … */
    unit: string
    baseUnit: BaseUnit
    /** How many base units one unit of the dimension is. */
    size: Decimal
    maxQuantity?: number
    total: Figures & { quantities?: Quantities; charge?: Decimal | null }
  }[]
  equationHolds: boolean
  breaches: Breach[]
  reconciled: Reconciled[]
}

/** `allocations` */
export interface Allocations {
  at: Time
  from: Time | null
  to: Time | null
  by: string | null
  lines: {
    account: Customer
    dimension: string
    /** Null of what has none. */
    tags: { [key: string]: string } | null
    /** In units of the dimension. */
    metered: Decimal
    pending: Decimal
    held: Decimal
  }[]
}

/** Of `records` and `held`, which print an array of them. */
export interface UsageRecord {
  id: string
  account: Customer
  dimension: string
  hour: Time
  /** What AWS gets: inside the hour. */
  timestamp: Time
  /** Of a balance that a restore holds as one record, `restored`: it was never sent. */
  region: string
  /** In units of `size` each: 0 to 2147483647. */
  quantity: number
  allocations: { quantity: number; tags: { [key: string]: string } | null }[] | null
  /** How many base units a quantity of one is. */
  size: Decimal
  /** `quantity` times `size`. */
  amount: Decimal
  baseUnit: BaseUnit | null
  state: 'pending' | 'metered' | 'held' | 'returned'
  /** Why it is held (a HeldReason), or why its quantity returned. */
  reason: string | null
  attempts: number
  /** Whether AWS may have it: the answer to an attempt is not known. */
  inDoubt: boolean
  /** When it may no longer be sent. */
  deadline: Time
  nextAttemptAt: Time | null
  lastAnswer: string | null
  meteringRecordId: string | null
}

/** `agreements`: an array of them. */
export interface Agreement extends AgreementTerms {
  account: Customer
}

/** `entitlements` */
export interface Entitlements {
  at: Time
  /** What is known of each dimension that contracts include something of. */
  included: {
    product: string
    dimension: string
    per: 'term' | 'month'
    /** AWS's entitlement that says how much it is, and how many base units one of it is. */
    entitlement?: string
    size?: Decimal
    /** Without one: what every other customer has, in units of the dimension. */
    quantity?: number
    since: Time
    /** Up to when it is known what AWS says. */
    knownUntil?: Time
    /** After how many milliseconds what becomes of usage while that is not known. */
    unknown: { after: number; outcome: 'hold' | 'meter' }
  }[]
  entitlements: {
    account: Customer
    dimension: string
    per: 'term' | 'month'
    state: 'in force' | 'over' | 'to come'
    baseUnit: BaseUnit
    size: Decimal
    from?: Time
    until?: Time
    included: Decimal
    used: Decimal
    left: Decimal
    usedSince?: Time
  }[]
}

/** `audit`: an array of them, the newest first. */
export interface AuditEntry {
  at: Time
  writtenAt?: Time
  /** Its place in the trail, which `undo` takes; none of before there was a chain. */
  number?: number
  who: string
  why: string
  systemUser?: string
  action:
    | ('release' | 'settle' | 'attribute' | 'write-off' | 'undo' | 'finalize' | 'agreement' | 'restore' | 'prune')
    | ('register' | 'fed' | 'lost' | 'reconcile' | 'endpoint' | 'above-alert' | 'adjust' | 'entitlement')
    | ('set-aside' | NotCounted)
  account?: Account
  dimension?: string
  recordId?: string
  amount?: Decimal
  baseUnit?: BaseUnit | null
  detail?: string
  /** 64 hexadecimal digits. */
  hash?: string
}

/** `senders`: an array of them. */
export interface Sender {
  sender: string
  customer: Customer
  since: Time
  writtenAt: Time
}

/** `verify` */
export interface Verification {
  /** How many. */
  series: number
  equationHolds: boolean
  breaches: Breach[]
  audit: {
    entries: number
    /** Of the last entry: keep it elsewhere. */
    hash: string | null
    /** With `--hash`: the number of the entry that has it; 0 where the chain begins with it. */
    keptAt?: number
    breaks: {
      kind: 'changed' | 'missing' | 'inserted' | 'changed-before' | 'replaced' | 'hidden' | 'not-kept'
      number?: number
      from?: number
      at?: Time
    }[]
  }
  reconciled: Reconciled[]
}

export type Verdict =
  | ('missing' | 'two-senders' | 'foreign' | 'other-quantity' | 'other-id' | 'billed')
  | ('absent' | 'undecided' | 'restored' | 'lost' | 'agreed' | 'not-seen')

/** `reconcile`, with events */
export interface Reconciliation {
  files: number
  dryRun: boolean
  regions: {
    region: string
    /** The first and the last event. */
    from: Time | null
    to: Time | null
    calls: number
    leftOut: number
    gaps: Span[]
    searched: Span[]
  }[]
  /** Of records that these events are not of. */
  otherRegions: readonly string[]
  reconciled: (Span & { region: string })[]
  /** Whether that is noted in the audit trail. */
  noted: boolean
  callers: {
    principal: string
    /** Null without `--caller`. */
    ours: boolean | null
    /** Whether it also sends what this ledger never has: nothing is settled by its calls. */
    shared: boolean
    records: number
    billed: number
    agreed: number
    first: Time
    last: Time
    addresses: string[]
    userAgents: string[]
  }[]
  verdicts: { [verdict in Verdict]?: { records: number; quantities: { [dimension: string]: number } } }
  findings: {
    verdict: Verdict
    /** The id. */
    record: string | null
    state: UsageRecord['state'] | null
    reason: string | null
    hour: Time
    region: string
    product?: string
    accountId?: string
    customerIdentifier?: string
    /** The id in the ARN, l-… */
    licence?: string
    dimension: string
    quantity: number | null
    billedSinceBackup: number | null
    meteringRecordId: string | null
    completeSearch: boolean | null
    proves: 'billed' | 'not-billed' | null
    /** What it was settled as, or would be. */
    settled: 'billed' | 'not-billed' | null
    settledQuantity: number | null
    why: string | null
    /** Of what is held: why nothing of it is settled, and what settles it when. */
    left: string | null
    events: {
      eventId: string
      requestId: string
      time: Time
      outcome: 'success' | 'duplicate' | 'not-subscribed' | 'unprocessed' | 'refused' | 'unclear'
      quantity: number
      meteringRecordId: string | null
      caller: string
      address: string
      userAgent: string
    }[]
  }[]
  unread: Unread
  /** Files of folders that are none of a trail's. */
  notRead: readonly string[]
  inDoubtElsewhere: number
  pruned: number
}

/** What could not be read: how much, and what was wrong with the first of it. */
export interface Unread {
  count: number
  first: readonly string[]
}

/** `reconcile --usage-report`; quantities in units of the dimension, with up to two decimals */
export interface UsageComparison {
  kind: 'usage-feed' | 'usage-dataset' | null
  files: number
  rows: number
  /** When the report's newest row was written. */
  writtenUntil: Time | null
  /** Days, such as 2026-11-21. */
  compared: { first: string; last: string } | null
  byCustomer: boolean
  totals: readonly { dimension: string; region: string; metered: number; billed: number }[]
  verdicts: { [verdict in UsageVerdict]?: number }
  /** By the names of products, dimensions and days. */
  notCompared: {
    [left in 'otherProducts' | 'otherDimensions' | 'beforeReport' | 'beforeLedger' | 'pruned']: {
      [name: string]: number
    }
  }
  unjoinedProducts: { reported: readonly string[]; ledger: readonly string[] }
  unjoinedCustomers: number
  unread: Unread
  findings: {
    verdict: UsageVerdict
    day: string
    region: string
    dimension: string
    product: string
    /** Null where several that are not told apart are summed up. */
    customer: string | null
    metered: number
    billed: number
    inDoubt: number
    inConflict: number
    returned: number
    waiting: number
    agreements: number
  }[]
}

export type UsageVerdict = 'less' | 'more' | 'in-doubt' | 'other-day' | 'incomplete' | 'agreed'

/** What all that decide say: whether it was only looked, and how to find and take back what was done. */
export interface Done {
  dryRun: boolean
  /** For `audit --group` and `undo`; null where nothing was done. */
  group: string | null
}

/** `release`, `settle`, `decide`, `write-off --held` */
export interface Decisions extends Done {
  /** With `dryRun`: what would be. */
  decided: (Figure & {
    record: string
    decision: 'release' | 'billed' | 'not-billed' | 'write-off'
    account: Customer
    hour: Time
    /** Of `billed`: AWS billed only so many units; the rest returned. */
    billedQuantity?: number
  })[]
  /** What somebody else has decided meanwhile. */
  notDecided: { record: string; code: string; message: string }[]
  /** Of `decide`: how many of the file's records were decided before. */
  decidedBefore: number
}

/** `attribute` */
export interface Attributions extends Done {
  attributed: (Figure & {
    from: Account
    to: Customer
    /** Whether the ledger had nothing of it before. */
    newCustomer: boolean
  })[]
  /** Of many: what somebody else has taken meanwhile. */
  notAttributed: { from: Account; to: Customer; dimension: string; code: string; message: string }[]
}

/** `write-off` */
export interface WriteOffs extends Done {
  writtenOff: (Figure & { account: Account })[]
}

/** `undo` */
export interface Undone extends Done {
  /** Each by its number in the audit trail; null of before there were numbers. */
  undone: (Figure & { number: number | null; action: AuditEntry['action']; account: Account; record: string | null })[]
  /** What is not in the balance any more. */
  notUndone: { number: number | null; code: string; message: string }[]
  /** How many of the entries were undone before. */
  undoneBefore: number
}

/** `finalize` */
export interface Finalized {
  account: Customer
  endedAt: Time
  region: string
  /** How many records. */
  frozen: number
  /** Those of them that are held. */
  held: UsageRecord[]
  /** Whether nothing is frozen since the ledger has lost usage that it had acknowledged: see `status`. */
  lost: boolean
}

/** `include` */
export interface Inclusion {
  account: Customer
  dimension: string
  included: Decimal
  baseUnit: BaseUnit
  per: 'term' | 'month'
  until: Time | null
  /** Whether it was new. */
  changed: boolean
}

/** `adjust` */
export interface Adjustments {
  dryRun: boolean
  /** What AWS takes, and what `adjust` prints without `--json`. */
  request: { billingAdjustmentRequestEntries: AdjustmentEntry[] }
  /** What each entry is for, in their order. */
  adjustments: {
    token: string
    account: Customer
    dimension: string
    /** In units of the dimension. */
    quantity: Decimal
    hours: [from: Time, to: Time][]
    agreementId: string
    invoiceId: string
    amount: Decimal
    currency: string
    /** Tokens of earlier ones. */
    besides: string[]
    instead: string[]
    /** When the same was noted before. */
    notedAt: Time | null
  }[]
}

export interface AdjustmentEntry {
  agreementId: string
  originalInvoiceId: string
  adjustmentAmount: Decimal
  currencyCode: string
  adjustmentReasonCode:
    | ('INCORRECT_METERING' | 'TEST_ENVIRONMENT_CHARGES' | 'INCORRECT_TERMS_ACCEPTED')
    | ('ALTERNATIVE_PROCUREMENT_CHANNEL' | 'UNINTENDED_RENEWAL' | 'BUYER_DISSATISFACTION' | 'OTHER')
  description?: string
  clientToken: string
}

/** `import-agreements` */
export interface ImportedAgreements {
  dryRun: boolean
  /** How many the file has, and how many of them were new; null where it was only looked. */
  agreements: number
  changed: number | null
  /** Of how many an end is to come, which is not taken in. */
  endsLater: number
  metered: { by: 'licence' | 'product-code'; product: string; agreements: number }[]
  /** All usage of such a tenant is billed to one of them. */
  sharedTenants: { tenant: string; customers: string[] }[]
}

/** `endpoint`: as it is, or as it is from now on */
export interface Endpoints {
  endpoints: Endpoint[]
  /** Processes that would send elsewhere, in the last day. */
  refused: { region: string; endpoint: string; expected: string; at: Time; process: string | null }[]
}

/** `backup` */
export interface Backup {
  ledger: string
  backup: string
  /** In bytes. */
  size: number
}

/** `restore`, `declare-restored` */
export interface Restored {
  ledger: string
  /** How many records: a person settles them. */
  held: number
  /** How many are sent again identically. */
  pending: number
}

/** `prune` */
export interface Pruned {
  before: Time
  /** How many records. */
  deleted: number
}

/** `spool` */
export interface Spool {
  file: string
  /** How many batches. */
  waiting: number
  /** What the ledger has refused. */
  refused: { batch: string; refusal: string }[]
  /** Whether it goes to the ledger once more. */
  retried: boolean
}

/** `serve`, when it takes OTLP; then it goes on */
export interface Serving {
  /** URLs for OTEL_EXPORTER_OTLP_ENDPOINT. */
  http: string | null
  grpc: string | null
  ledger: string
  product: string
  region: string
}

/** `events`, when it reads; then it goes on */
export interface Following {
  queue: string
  /** The queue's. */
  region: string
  ledger: string
}

/** `simulate`, when it listens; then it goes on */
export interface Simulating {
  /** For AWS_ENDPOINT_URL_…; `controlUrl` is where it is told what to do, and says what it has billed. */
  url: string
  queueUrl: string
  controlUrl: string
  seed: number
}

/** A line of the log of `serve` and `events`, on standard error. */
export interface LogLine {
  time: Time
  level: 'error' | 'warn' | 'info' | 'debug'
  message: string
}

/** `check`; with `--schema` it is the JSON schema of the configuration */
export interface Check {
  file: string
  productCode?: string
  product?: string
  region: string
  dryRun: boolean
  dimensions: {
    name: string
    unit: string
    baseUnit: BaseUnit
    size: Decimal
    maxQuantity: number | null
    alertQuantity: number | null
    /** What contracts include, in words. */
    included: string | null
    from: { label: string; metrics: string[]; value: 'sum' | 'count' | 'integral' }[]
    allocations: readonly { tag: string; attribute: string }[]
  }[]
  /** Where each name of a customer is found: an attribute's key, or one of these. */
  customer: { [name: string]: string | { attribute: string } | { resource: string } | { value: string } }
  listen: {
    http: string | null
    grpc: string | null
    tls: boolean
    clientCertificates: boolean
    /** How many. */
    tokens: number
  }
  ledger: string
  /** What the file refers to and is not here, in words. */
  missing: string[]
  /** With `--payload`. */
  payload?: {
    since: Time
    points: {
      time: Time
      metric: string
      attributes: { [key: string]: unknown }
      value: string
      dimension: string | null
      account: Account | null
      amount: Decimal
      /** By which it is counted, and why not as it is. */
      rule: string | null
      reason: string | null
      message: string | null
    }[]
    /** Metrics that no rule names, with their points. */
    unnamed: { [metric: string]: number }
    alarms: readonly string[]
    bill: (Figure & {
      account: Account
      /** In whole units of the dimension. */
      quantity: Decimal
    })[]
  }
}

/** `doctor` */
export interface Diagnosis {
  at: Time
  /** 0, 1 or 2. */
  exitStatus: number
  findings: { name: string; state: 'ok' | 'warning' | 'fault'; message: string; advice?: string }[]
}

/** What is wrong, of every command: one line, the last on standard error. */
export interface Failure {
  /** ERR_LEDGER_BUSY, …; of the system, such as ENOSPC, or the name of an error of JavaScript. */
  code: string
  message: string
  /** What to do, where the message does not say it. */
  advice: string | null
  /** What led to it. */
  cause: string | null
  /** Each thing that is wrong, of a configuration where it is. */
  problems: { line?: number; column?: number; message: string }[]
  /** Of a fault of this package. */
  stack?: string
}
