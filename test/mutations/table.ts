import { COUNTERS } from './counters.ts'
import { ALLOCATED, INCLUDED } from './included.ts'

/** A deliberate mistake in the source, and the tests that have to find it. */
export interface Mutation {
  readonly name: string
  /** Why it is a sin. */
  readonly sin: string
  readonly edits: readonly Edit[]
  /** Each of these test files fails with it; after a `#`, the tests of it whose name has this text. */
  readonly caughtBy: readonly string[]
}

export interface Edit {
  /** Under `src/`. */
  readonly file: string
  /** Occurs there exactly once. */
  readonly text: string
  readonly instead: string
}

const edit = (file: string, text: string, instead = ''): Edit[] => [{ file, text, instead }]

const SEQUENCES = 'test/properties/one-ledger.test.ts'
const RESTARTS = 'test/properties/restarts.test.ts'
const LEDGER_SEQUENCES = 'test/ledger/properties.test.ts'
const CONFORMANCE = 'test/ledger/sqlite.test.ts'
const NOT_SUBSCRIBED = 'test/ledger/not-subscribed.test.ts'
const SQLITE_FILE = 'test/ledger/sqlite-file.test.ts'
const WRITER = 'test/ledger/writer.test.ts'
const TOGETHER = 'test/ledger/sqlite-together.test.ts'
const OUTCOMES = 'test/metering/outcomes.test.ts'
const OUTAGES = 'test/metering/outage.test.ts'
// Their other tests make a mutation themselves, which cannot be made twice.
const KILLS = 'test/crash/kills.test.ts#loses nothing'
const POWER_CUTS = 'test/crash/power-cuts.test.ts#loses nothing'
const REFUSALS = 'test/metering/refusals.test.ts'
const LIFECYCLE = 'test/exporter/lifecycle.test.ts'
const POSTGRESQL = 'test/ledger/postgresql-server.long.test.ts'
const DYNAMODB = 'test/ledger/dynamodb/shared.long.test.ts'
const AGREEMENT_RULES = 'test/ledger/agreement-rules.test.ts'
const DYNAMODB_AGREEMENTS = 'test/ledger/dynamodb/agreements.test.ts'

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'return a record in doubt to the balance',
    sin: 'AWS may have billed it, and the next hour bills it again',
    edits: edit(
      'ledger/rules/transitions.ts',
      "  if (inDoubt(record)) return end(record, 'in-doubt', record.refusals, false)\n",
    ),
    caughtBy: [SEQUENCES, OUTAGES],
  },
  {
    name: 'let a refusal clear the doubt of earlier attempts',
    sin: 'an attempt without an answer may have been billed before the customer left',
    edits: edit(
      'ledger/rules/transitions.ts',
      "  if (record.attempts > refusals) return { state: 'held', reason: 'in-doubt', refusals }\n",
    ),
    caughtBy: [SEQUENCES, OUTCOMES],
  },
  {
    name: "count an attempt's refusal each time it is written down",
    sin: 'it hides an attempt that has no answer',
    edits: edit(
      'ledger/rules/transitions.ts',
      '(first && provesNotTaken(outcome) ? 1 : 0)',
      '(provesNotTaken(outcome) ? 1 : 0)',
    ),
    caughtBy: [LEDGER_SEQUENCES],
  },
  {
    name: 'let a late Success change nothing',
    sin: 'what is billed stays in doubt, and a person may bill it again',
    edits: edit(
      'ledger/rules/transitions.ts',
      "if (outcome.type === 'metered') return {",
      "if (outcome.type === 'metered' && record.state === 'pending') return {",
    ),
    caughtBy: [OUTAGES],
  },
  {
    name: 'fold a batch in doubt into the next',
    sin: 'the ledger may have it already, and would have it twice',
    edits: edit(
      'ledger/clients/writer.ts',
      'await this.#appendBatches()\n    this.#makeBatches()',
      `const inDoubt = this.#batches.splice(0).flatMap(batch => batch.entries)
    for (const { account, dimension, hour, amount } of inDoubt) this.add(account, dimension, hour, amount)
    this.#makeBatches()`,
    ),
    caughtBy: [SEQUENCES, WRITER],
  },
  {
    name: 'forget a batch that the ledger could not take',
    sin: 'its usage is lost',
    edits: edit(
      'ledger/clients/writer.ts',
      'await this.#ledger.append(batch)\n        this.#recent.add(batch)\n        this.#batches.shift()',
      'this.#recent.add(batch)\n        this.#batches.shift()\n        await this.#ledger.append(batch)',
    ),
    caughtBy: [SEQUENCES, WRITER],
  },
  {
    name: 'add to usage that is in a batch already',
    sin: 'the ledger may have the batch as it was, and what is added counts twice or never',
    edits: edit('ledger/clients/writer.ts', '  tally.waiting = undefined\n'),
    caughtBy: [SEQUENCES, WRITER],
  },
  {
    name: 'leave the mark of a counter that is written whole',
    sin: 'a mark from before hides what the counter has counted since',
    edits: edit('ledger/sqlite/counters.ts', 'DELETE FROM counter_mark WHERE', 'DELETE FROM counter_mark WHERE 0 AND'),
    caughtBy: ['test/ledger/sqlite.test.ts#one that rises for long'],
  },
  {
    name: 'write only the mark of a counter of which more has changed',
    sin: 'a counter that is new is forgotten, and billed again',
    edits: edit('ledger/rules/counters/index.ts', 'waiting, risen: false }', 'waiting, risen: true }'),
    caughtBy: ['test/ledger/sqlite.test.ts#one that rises for long'],
  },
  {
    name: 'remember the mark of a counter as a number where none holds it',
    sin: 'what it has counted is forgotten in part, and billed again',
    edits: edit('ledger/sqlite/known-counter.ts', ' || mark > Number.MAX_SAFE_INTEGER', ''),
    caughtBy: ['test/ledger/sqlite.test.ts#a mark that no number holds'],
  },
  {
    name: 'drop the idempotency key',
    sin: 'a batch that is repeated after an unknown outcome counts twice',
    edits: edit('ledger/sqlite/batches.ts', '        if (!this.#acknowledge(batch, usage)) return undefined\n'),
    caughtBy: [SEQUENCES, CONFORMANCE],
  },
  {
    name: 'add up open usage beyond what a number holds',
    sin: 'of usage that is large some is never billed',
    edits: edit('ledger/sqlite/open-usage.ts', '= Number.isSafeInteger(whole)\n', '= whole > 0\n'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'take the open usage of all that are in a row',
    sin: "with a customer's usage its neighbours' goes",
    edits: edit('ledger/sqlite/open-usage.ts', 'else left.push(...one)'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'write only what is new in a row of open usage',
    sin: 'usage of customers that are idle in an export is never billed',
    edits: edit('ledger/sqlite/open-usage.ts', 'if (amounts.length === 0) return added', 'return added'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'take accounts that are looked up for others',
    sin: "a customer is billed another's usage after a restart",
    edits: edit('ledger/sqlite/series.ts', 'ids[place] = id\n', 'ids[index] = id\n'),
    caughtBy: ['test/ledger/sqlite.test.ts#an account may be several objects'],
  },
  {
    name: 'take series that are looked up for others',
    sin: "a customer is billed another's usage after a restart",
    edits: edit(
      'ledger/sqlite/series.ts',
      'ids[known[place] as number] = knownIds[index] as number',
      'ids[place] = knownIds[index] as number',
    ),
    caughtBy: ['test/ledger/sqlite.test.ts#an account may be several objects'],
  },
  {
    name: 'synchronous NORMAL instead of FULL',
    sin: 'a power cut takes acknowledged batches with it',
    edits: edit('ledger/sqlite/file.ts', 'PRAGMA synchronous = FULL', 'PRAGMA synchronous = NORMAL'),
    caughtBy: [POWER_CUTS],
  },
  {
    name: 'sum the hour instead of the cumulative total',
    sin: 'fractions, late usage and what returned are never billed',
    edits: edit(
      'ledger/rules/decisions.ts',
      'series.recorded += amount\n  series.balance += amount',
      'series.recorded += amount - series.balance\n  series.balance = amount',
    ),
    caughtBy: [SEQUENCES, LEDGER_SEQUENCES],
  },
  {
    name: 'bill by the changed size',
    sin: 'what was frozen at one size is billed at another',
    edits: edit(
      'ledger/sqlite/batches.ts',
      'if (known !== undefined && known.size > dimension.size) {',
      `this.#database.run(
      'UPDATE record SET size = ? WHERE series IN (SELECT id FROM series WHERE dimension = ?)',
      ...[String(dimension.size), id],
    )
    if (known !== undefined && known.size > dimension.size) {`,
    ),
    caughtBy: [SEQUENCES],
  },
  {
    name: 'freeze an hour twice',
    sin: 'a second record of an hour is refused as a duplicate, or bills it again',
    edits: [
      ...edit(
        'ledger/sqlite/schema.ts',
        'metering_record_id TEXT,\n  UNIQUE (series, hour)\n)',
        'metering_record_id TEXT\n)',
      ),
      ...edit('ledger/sql/piece-rows.ts', 'taken: Boolean(row.taken)', 'taken: false'),
      ...edit('ledger/rules/closing.ts', 'hour <= closed || '),
    ],
    caughtBy: [SEQUENCES, LEDGER_SEQUENCES],
  },
  {
    name: 'freeze an hour before it is over',
    sin: 'what still happens in it is refused as a duplicate',
    edits: edit('ledger/rules/closing.ts', 'return hourOf(now - closeDelay) - HOUR', 'return hourOf(now)'),
    caughtBy: [SEQUENCES, CONFORMANCE],
  },
  {
    name: 'leave what is frozen in the balance',
    sin: 'every hour bills it again',
    edits: edit('ledger/rules/closing.ts', 'drawn - BigInt(quantity) * size', 'drawn'),
    caughtBy: [SEQUENCES],
  },
  {
    name: 'keep usage of customers that are not subscribed',
    sin: 'all of it is billed to the agreement that comes, in one record',
    edits: edit(
      'ledger/rules/closing.ts',
      "const waits = series.blocked && !series.inside && terms.onNotSubscribed === 'roll-forward'",
      'const waits = series.blocked',
    ),
    caughtBy: [OUTCOMES, CONFORMANCE],
  },
  {
    name: 'send what is older with the hour of one not subscribed',
    sin: 'it was used without an agreement, and is billed to the one that comes',
    edits: edit('ledger/rules/closing.ts', ' && !waits && series.carried >= size', ' && false'),
    caughtBy: [CONFORMANCE, NOT_SUBSCRIBED],
  },
  {
    name: 'give back what of one not subscribed could not be sent',
    sin: 'it was used without an agreement, and is billed to the one that the next answer shows',
    edits: edit('ledger/rules/transitions.ts', 'refused !== undefined && !probe && !early', 'false'),
    caughtBy: [NOT_SUBSCRIBED],
  },
  {
    name: 'hold at once what an agreement covers',
    sin: 'a licence that comes an hour late is not billed for it before somebody releases it, into another hour',
    edits: edit('ledger/rules/transitions.ts', 'return inside && !probe && quantity > 0', 'return false'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'stamp a record after the end of its agreement',
    sin: 'AWS refuses what was used in the last hour',
    edits: edit('ledger/rules/agreement.ts', 'Math.min(hourEnd - SECOND, wholeSecond(to - 1))', 'hourEnd - SECOND'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'bill a second identity beside the first',
    sin: 'AWS bills both',
    edits: edit('ledger/rules/closing.ts', 'series.twin && quantity > -approved', 'false'),
    caughtBy: [CONFORMANCE, SEQUENCES],
  },
  {
    name: 'let what was above the maximum pass beside another identity',
    sin: 'a person who said that the usage is real has AWS bill it twice',
    edits: edit('ledger/rules/closing.ts', 'quantity > -approved', 'quantity > Math.abs(approved)'),
    caughtBy: [AGREEMENT_RULES],
  },
  {
    name: 'give what may be billed under another identity to a third',
    sin: 'it goes out with an hour in which nothing stands beside it',
    edits: edit('ledger/rules/decisions.ts', " || reason === 'two-identities' || mayBeBilled", ' || mayBeBilled'),
    caughtBy: [AGREEMENT_RULES],
  },
  {
    name: 'send by news what was held without asking AWS',
    sin: 'what was used before an agreement is billed to it',
    edits: edit(
      'ledger/rules/decisions.ts',
      "(reason === 'not-subscribed' && attempts > 0)",
      "reason === 'not-subscribed'",
    ),
    caughtBy: [AGREEMENT_RULES],
  },
  {
    name: 'ask AWS no more for one not subscribed',
    sin: 'all that is used after they are back is held until somebody notices',
    edits: edit('ledger/rules/closing.ts', ' && series.carried >= size'),
    caughtBy: [OUTCOMES, CONFORMANCE],
  },
  {
    name: 'send before the attempt is recorded',
    sin: 'after a crash nobody knows that AWS may have taken it',
    edits: edit('ledger/sqlite/records.ts', 'SET attempts = attempts + 1, claim', 'SET attempts = attempts, claim'),
    caughtBy: [SEQUENCES, KILLS],
  },
  {
    name: 'tell what the commit may still undo',
    sin: 'a record is sent whose attempt nobody will know of',
    edits: edit(
      'ledger/sqlite/database.ts',
      'working = false\n            return () => resolve(result)',
      'working = false\n            resolve(result)\n            return () => {}',
    ),
    caughtBy: [TOGETHER],
  },
  {
    name: "move amounts in a copy of a record's series",
    sin: 'a record is metered, and the books of its customer do not show it',
    edits: edit(
      'ledger/sql/piece.ts',
      'return (this.#series.get(series) as LoadedSeries).series',
      'return { ...(this.#series.get(series) as LoadedSeries).series }',
    ),
    caughtBy: [SEQUENCES, CONFORMANCE],
  },
  {
    name: 'release a record in doubt',
    sin: 'a person bills twice what AWS has billed',
    edits: edit(
      'ledger/rules/decisions.ts',
      'if (!settles && doubt !== undefined) {',
      "if (!settles && state !== 'held') {",
    ),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'write a record off from the balance',
    sin: 'the customer is billed for what nobody is to be billed for',
    edits: edit('ledger/rules/decisions.ts', '    addUsage(book.seriesOf(record), -amount)\n'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'undo what is no longer in the balance',
    sin: 'it is held, and was billed',
    edits: edit('ledger/rules/undo.ts', '  if (left >= amount) return\n', '  if (left <= amount) return\n'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'undo an entry twice',
    sin: 'usage that was given to one customer is given back twice',
    edits: edit('ledger/rules/undo.ts', 'if (undone.has(number)) throw', 'if (undone.size < 0) throw'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'attribute hours by what their account has of any',
    sin: 'the same command again gives to one customer what another has used',
    edits: edit(
      'ledger/rules/undo.ts',
      'const amount = recorded < balance ? recorded : balance',
      'const amount = balance',
    ),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'write a series that does not add up',
    sin: 'what one place forgets is wrong for good, and nobody hears of it',
    edits: edit(
      'ledger/rules/accounting.ts',
      "  if (change('recorded') === ",
      "  if (before === after || change('recorded') !== -1n || ",
    ),
    caughtBy: [SQLITE_FILE],
  },
  {
    name: 'take a part that was billed for all',
    sin: 'what AWS has not billed of it is never billed',
    edits: edit('ledger/rules/decisions.ts', '  if (part < amount) divide(book, record, part)\n'),
    caughtBy: [CONFORMANCE],
  },
  {
    name: 'tell what a restore holds as an attempt without an answer',
    sin: 'a person looks for its hour, finds nothing, and bills again what was billed with another',
    edits: edit('ledger/rules/decisions.ts', "held: 'restored', probe: false", "held: 'in-doubt', probe: false"),
    caughtBy: [CONFORMANCE, 'test/gateway/operations/report.test.ts'],
  },
  {
    name: 'trust the balances of a backup',
    sin: 'what was billed after the backup is billed again',
    edits: edit('ledger/sqlite/ledger.ts', '        await ledger.declareRestored(by)\n'),
    caughtBy: [SQLITE_FILE],
  },
  {
    name: 'forget the largest quantity, 2147483647',
    sin: 'AWS refuses the record, and with it the whole batch',
    edits: edit(
      'ledger/rules/closing.ts',
      'Number(whole < MAX_QUANTITY ? whole : BigInt(MAX_QUANTITY))',
      'Number(whole)',
    ),
    caughtBy: [SEQUENCES, CONFORMANCE],
  },
  {
    name: "ignore the month's end",
    sin: 'AWS closes a month at 06:00 UTC on the 1st, whatever the 24 hours say',
    edits: edit(
      'ledger/hours.ts',
      'return Math.min(hour + DAY, Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1, 6))',
      'return date.getTime() + DAY',
    ),
    caughtBy: [OUTAGES, CONFORMANCE],
  },
  {
    name: 'send what was refused before among others',
    sin: 'the quota goes to finding it again in each hour, and others wait',
    edits: edit('metering/cycle.ts', 'alone.has(record) ? 1 : '),
    caughtBy: [REFUSALS],
  },
  {
    name: 'skip the bisection',
    sin: 'one bad record holds 24 good ones',
    edits: edit(
      'metering/cycle.ts',
      'if ((refused || itsOwn) && records.length > 1) {',
      'if ((refused || itsOwn) && records.length < 1) {',
    ),
    caughtBy: [REFUSALS],
  },
  {
    name: 'treat an unknown answer as not taken',
    sin: 'AWS may have billed it',
    edits: edit('metering/cycle.ts', "const notTaken = fault !== 'unknown' && !repeated", 'const notTaken = true'),
    caughtBy: [SEQUENCES, OUTAGES],
  },
  {
    name: 'treat an answer without the record as not taken',
    sin: 'AWS may have billed it',
    edits: edit(
      'metering/answers.ts',
      "case 'nothing':\n      return { type: 'retry', at: terms.retryAt, notTaken: false }",
      "case 'nothing':\n      return { type: 'retry', at: terms.retryAt, notTaken: true }",
    ),
    caughtBy: [SEQUENCES, OUTCOMES],
  },
  {
    name: "believe the last of a client's own attempts",
    sin: 'what came of those before is not known',
    edits: edit('metering/answers.ts', 'notTaken: !terms.repeated', 'notTaken: true'),
    caughtBy: [OUTCOMES],
  },
  {
    name: 'treat DuplicateRecord as Success',
    sin: 'the hour is somebody else’s, and this quantity is never billed',
    edits: edit(
      'metering/answers.ts',
      "return { type: 'conflict', rollForward: terms.rollForward }",
      "return { type: 'metered' }",
    ),
    caughtBy: [SEQUENCES, OUTCOMES],
  },
  {
    name: 'treat DuplicateRecord as an answer to attempts before it',
    sin: 'AWS may mean what it took of one of them, which would be billed again',
    edits: edit('ledger/rules/transitions.ts', 'before ? record.refusals : record.attempts', 'record.attempts'),
    caughtBy: [OUTCOMES, CONFORMANCE],
  },
  {
    name: 'treat an unprocessed record as Success',
    sin: 'it is never billed',
    edits: edit('metering/answers.ts', "note(one, { said: 'unprocessed' })", "note(one, { said: 'Success' })"),
    caughtBy: [SEQUENCES, OUTCOMES],
  },
  {
    name: 'match answers by order',
    sin: "one customer's refusal is taken for another's",
    edits: edit(
      'metering/answers.ts',
      'const known = asked.find(({ sent }) => repeats(about ?? {}, sent))',
      'const known = about && asked.find(({ said }) => said.length === 0)',
    ),
    caughtBy: [SEQUENCES, OUTCOMES],
  },
  {
    name: 'forget answers that the ledger could not take',
    sin: 'what AWS surely said is unknown again',
    edits: edit('metering/cycle.ts', '      this.#unwritten.unshift(...writing)\n'),
    caughtBy: [OUTAGES],
  },
  {
    name: "send to the process's region instead of the record's",
    sin: 'AWS tells hours apart by region: what was taken in one is billed again in the other',
    edits: edit(
      'metering/cycle.ts',
      'const client = this.#options.clientFor(lane.region)',
      'const client = this.#options.clientFor(this.#options.region)',
    ),
    caughtBy: [RESTARTS],
  },
  {
    name: 'ignore temporality',
    sin: 'a cumulative point bills its whole history at every export',
    edits: edit(
      'usage/mapper.ts',
      "return (metric.aggregationTemporality as number) === DELTA ? undefined : 'cumulative'",
      'return undefined',
    ),
    caughtBy: [SEQUENCES, 'test/usage/mapper.test.ts'],
  },
  {
    name: 'send as fast as a process may by itself',
    sin: 'ten replicas send ten times what AWS takes, and are throttled',
    edits: edit(
      'metering/metering.ts',
      'const first = await ledger.clock.takeTurns(region, turns, spacing, clock.now())',
      'const first = clock.now()',
    ),
    caughtBy: [`${LIFECYCLE}#in the turns that the ledger gives`],
  },
  {
    name: 'answer a sender before the ledger has its points',
    sin: 'it sends them no more, and a crash takes them along',
    edits: edit('gateway/intake.ts', 'await this.#writer.write(observations)', 'void this.#writer.write(observations)'),
    caughtBy: ['test/gateway/intake.test.ts'],
  },
  {
    name: 'PostgreSQL: claim what another process has just claimed',
    sin: 'both send it, and which answer counts is chance',
    edits: edit('ledger/postgresql/records.ts', ' FOR UPDATE SKIP LOCKED'),
    caughtBy: [`${POSTGRESQL}#a claim leaves what another one`],
  },
  {
    name: 'PostgreSQL: do again what a lost answer may have been about',
    sin: 'records are claimed whose attempt nobody makes, and a decision is made twice',
    edits: edit(
      'ledger/postgresql/database.ts',
      'if (repeated && !(await isFirst(transaction, id)))',
      'if (id === "")',
    ),
    caughtBy: [`${POSTGRESQL}#a commit that is under way`],
  },
  {
    name: 'PostgreSQL: fold without the ledger’s lock',
    sin: 'two processes fold the same batch',
    edits: edit(
      'ledger/postgresql/fold.ts',
      "import { lockLedger } from './ledger-row.ts'",
      "import { ledgerRow as lockLedger } from './ledger-row.ts'",
    ),
    caughtBy: [`${POSTGRESQL}#do not disturb each other`],
  },
  {
    name: 'allocations: put records into a request whatever its size',
    sin: 'AWS refuses what is above a megabyte, and nothing of it is billed',
    edits: edit('metering/cycle.ts', 'bytes + size <= MAX_REQUEST_BYTES', 'size > 0'),
    caughtBy: ['test/metering/wire.test.ts#2,000 allocations'],
  },
  {
    name: 'allocations: send a record without its split',
    sin: 'buyers are billed, and do not see for what',
    edits: edit(
      'metering/answers.ts',
      'allocations !== undefined && { UsageAllocations:',
      'false && { UsageAllocations:',
    ),
    caughtBy: ['test/allocations.test.ts#an exporter'],
  },
  {
    name: 'allocations: keep any number of tag sets apart',
    sin: 'what each call has as a tag fills the memory',
    edits: edit('usage/tag-sets.ts', 'sets.size < MOST_TAG_SETS', 'sets.size >= 0'),
    caughtBy: ['test/usage/allocations.test.ts#100,000 tag sets'],
  },
  {
    name: 'allocations: take whole units without regard to who had too much before',
    sin: 'tag sets get more units than there are',
    edits: edit('ledger/rules/allocations.ts', 'const level = levelOf(whole, BigInt(units))', 'const level = 0n'),
    caughtBy: ['test/ledger/allocations.test.ts#harmonic'],
  },
  {
    name: "allocations: count a sender's customers by what their usage is for",
    sin: 'a sender with a few customers reaches its limit, and their usage is nobody’s',
    edits: edit('gateway/admission.ts', 'const customer = untaggedAccount(account)', 'const customer = account'),
    caughtBy: ['test/gateway/senders.test.ts#whatever their usage is for'],
  },
  {
    name: 'allocations: forget the tags of a tenant who is not known yet',
    sin: "each process's first usage of a customer is billed without tags",
    edits: edit(
      'ledger/clients/writer.ts',
      'tags === undefined ? customer : taggedAccount(customer, tags)',
      'customer',
    ),
    caughtBy: ['test/allocations.test.ts#tenant'],
  },
  {
    name: 'DynamoDB: overwrite what another process has changed',
    sin: 'its usage is lost',
    edits: edit(
      'ledger/dynamodb/table.ts',
      "{ ConditionExpression: 'v = :v', ExpressionAttributeValues: { ':v': { S: write.over } } }",
      '{}',
    ),
    caughtBy: [`${DYNAMODB}#processes at once`],
  },
  {
    name: 'DynamoDB: bring a cut to series that have it',
    sin: 'its usage counts twice where two processes fold at once',
    edits: edit('ledger/dynamodb/shard.ts', 'this.cut < cut ? 0 : (this.#hoursTaken ?? hours.length)', '0'),
    caughtBy: [`${DYNAMODB}#lost: another does it again`],
  },
  {
    name: 'DynamoDB: take the journal for a snapshot',
    sin: 'a batch that was not seen yet counts as folded, and is deleted',
    edits: edit('ledger/dynamodb/head.ts', '(await isWhole(table, view)) ? view : undefined', 'view'),
    caughtBy: [`${DYNAMODB}#no batch comes before`],
  },
  {
    name: 'DynamoDB: delete what is left of a batch, and do not give it up',
    sin: 'its writer only slept, and the key that it then writes has nothing behind it',
    edits: edit(
      'ledger/dynamodb/left-bodies.ts',
      '(folded || (await giveUp(batch, key)))',
      '(folded || giveUp !== undefined)',
    ),
    caughtBy: [`${DYNAMODB}#wakes while they are deleted`],
  },
  {
    name: 'DynamoDB: close an hour beside who closes it for the other identity',
    sin: 'two processes at once bill an AWS account under both',
    edits: edit('ledger/dynamodb/fold.ts', 'if (writes.length > 0) writes.push(...twins.writes)', ''),
    caughtBy: [`${DYNAMODB_AGREEMENTS}#after a day without a process`],
  },
  {
    name: 'DynamoDB: end an agreement beside who ends it for the other identity',
    sin: 'two processes at once bill an AWS account under both',
    edits: edit('ledger/dynamodb/agreements.ts', 'frozen.length > 0 ? [...twins.writes] : []', '[]'),
    caughtBy: [`${DYNAMODB_AGREEMENTS}#end at once`],
  },
  ...INCLUDED,
  ...ALLOCATED,
  ...COUNTERS,
]
