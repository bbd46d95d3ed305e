import type { Mutation } from './table.ts'

const CONFORMANCE = 'test/ledger/sqlite.test.ts'
const SEQUENCES = 'test/properties/one-ledger.test.ts'

const mistake = (
  name: string,
  sin: string,
  [file, text, instead = '']: string[],
  caughtBy: string,
  ...others: string[]
): Mutation => ({
  ...{ name, sin, caughtBy: [`${CONFORMANCE}#${caughtBy}`, ...others] },
  edits: [{ file: `ledger/${file}.ts`, text: text as string, instead }],
})

/** Mistakes about what contracts include. */
export const INCLUDED: readonly Mutation[] = [
  mistake(
    'contracts: divide usage before it is known what is included',
    'AWS bills what the customer has paid for',
    ['rules/entitlements', "    if (!known && !final && recent) return 'wait'\n"],
    'usage waits until it is known',
  ),
  mistake(
    'contracts: meter what is not known for long, whatever was asked for',
    'AWS bills what the customer has paid for, perhaps',
    ['rules/entitlements', "    if (!known && contract.unknown.outcome === 'hold') return 'hold'\n"],
    'what is not known in time',
  ),
  mistake(
    'contracts: know an hour from what was said in it',
    'an amendment of its last minutes counts for nothing',
    ['rules/entitlements', 'knownUntil >= hour + HOUR ||', 'knownUntil >= hour ||'],
    'usage waits until it is known',
  ),
  mistake(
    'contracts: draw what waited as of now',
    'what a term that has ended had left is metered',
    ['rules/entitlements', '{ ...drawing, terms, hour }', '{ ...drawing, terms }'],
    'what waited draws on the term of its own hour',
  ),
  mistake(
    'contracts: keep what waited after it was drawn',
    'later usage draws on a term that has ended',
    [
      'rules/entitlements',
      '  return { terms: drawnBy(drawing, amount).terms }',
      '  return { ...drawing.entitlement, terms: drawnBy(drawing, amount).terms }',
    ],
    'what waited draws on the term of its own hour',
  ),
  mistake(
    'contracts: forget what was drawn before',
    'each hour includes all of it again',
    ['rules/entitlements', 'String(used + units)', 'String(units)'],
    'an included quantity is used up first',
    SEQUENCES,
  ),
  mistake(
    'contracts: do not write down what was drawn',
    'each hour includes all of it again',
    ['rules/decisions', 'const isTaken = drawn > 0n ||', 'const isTaken = drawn < 0n ||'],
    'two that close at once draw once',
  ),
  mistake(
    'contracts: give back what was drawn beside a record that returns',
    'it is included twice',
    [
      'rules/decisions',
      "    if (changed && state === 'returned') giveShares(series, record, 1n)\n",
      "    if (changed && state === 'returned') {\n" +
        '      giveShares(series, record, 1n)\n' +
        '      const account = book.account(record.account)\n' +
        '      const terms = Object.entries(account.entitlements ?? {})\n' +
        '      const unused = terms.map(([name, all]) => [name, { ...all, terms: all.terms.map(term => ({ ...term, used: [] })) }])\n' +
        '      book.setAccount(record.account, { ...account, entitlements: Object.fromEntries(unused) })\n' +
        '    }\n',
    ],
    'what returns is metered again',
  ),
  mistake(
    'contracts: include usage of hours after the agreement',
    'it is given away: the contract was over',
    ['rules/decisions', 'drawing === undefined || seconds === undefined ?', 'drawing === undefined ?'],
    'usage of an hour outside the agreement',
  ),
  mistake(
    'contracts: draw for what a guard holds',
    'a bug that counts a hundredfold uses the contract up',
    ['rules/closing', "held === null || held === 'agreement-ended' ? Math.min", 'series !== undefined ? Math.min'],
    'what a guard holds is not taken',
  ),
  {
    name: 'contracts: let an older reading win',
    sin: 'what was amended is as it was before',
    edits: [
      {
        file: 'ledger/rules/entitlements.ts',
        text: '  if (last !== undefined && at <= last.at && last.at <= now) return terms\n',
        instead: '',
      },
      {
        file: 'ledger/rules/entitlements.ts',
        text: 'return news.complete ? {',
        instead: 'return news === undefined ? {',
      },
    ],
    caughtBy: [`${CONFORMANCE}#news that are late, doubled or older`],
  },
  mistake(
    'contracts: heed an older list of whom a later one has not',
    'what nobody has paid for is included',
    ['rules/entitlements', 'return news.complete ? {', 'return news === undefined ? {'],
    'an older list says nothing',
  ),
  mistake(
    'contracts: trust what a clock that was ahead has read',
    'amendments of weeks count for nothing',
    ['rules/entitlements', 'knownUntil !== undefined && knownUntil <= now ?', 'knownUntil !== undefined ?'],
    'a clock that was ahead has read',
    SEQUENCES,
  ),
  mistake(
    'contracts: begin anew at an amendment',
    'what was used is included again',
    ['rules/entitlements', '{ ...last, ...term })', '{ ...last, ...term, used: [] })'],
    'an amendment changes what is left',
  ),
  mistake(
    'contracts: take a renewal for an amendment',
    'what the customer has paid for anew is used already, and AWS bills it',
    ['rules/entitlements', 'return at >= until - RENEWED ? until : undefined', 'return undefined'],
    'a renewal begins a new term',
  ),
  mistake(
    'contracts: forget when a term ends',
    'what nobody has paid for is included',
    ['rules/entitlements', 'from <= hour && (until === null || hour < until)', 'from <= hour'],
    'an entitlement that vanishes',
    SEQUENCES,
  ),
  mistake(
    'contracts: forget that an agreement was another',
    'what the customer has paid for anew is used already, and AWS bills it',
    ['rules/entitlements', '  if (begun !== undefined && begun[0] > toldAt) return begun[0]\n'],
    'an agreement after another is another term',
  ),
  {
    name: 'contracts: take an answer without a list for an empty list',
    sin: 'AWS bills what the customers have paid for',
    edits: [
      {
        file: 'metering/contracts.ts',
        text: 'if (answer.Entitlements === undefined && NextToken === undefined)',
        instead: 'if (answer === undefined)',
      },
    ],
    caughtBy: ['test/metering/contracts.test.ts#an answer with nothing in it'],
  },
]

/** Mistakes about what usage is for. */
export const ALLOCATED: readonly Mutation[] = [
  mistake(
    'allocations: leave the untagged rest out',
    'AWS refuses a split that does not sum to the quantity',
    ['rules/allocations', 'return rest > 0 ? [...kept, [rest]] : kept', 'return kept'],
    'a record is split by what',
  ),
  mistake(
    'allocations: leave what was split in the shares',
    'the next record splits it again, at the cost of the other tags',
    ['rules/allocations', '      found.balance -= BigInt(units[index] as number) * size\n'],
    'of fractions each gets',
  ),
  mistake(
    'allocations: lose the shares of a record that returns',
    'what it was for is not told',
    ['rules/decisions', "    if (changed && state === 'returned') giveShares(series, record, 1n)\n"],
    'what returns is split as it was',
  ),
  mistake(
    'allocations: keep the shares of what is written off',
    'the next record is split by usage that nobody is billed for',
    ['rules/decisions', '    giveShares(book.seriesOf(record), record, -1n)\n'],
    'what a person writes off',
  ),
  mistake(
    'allocations: take who is billed for each tag set for another customer',
    'AWS refuses the second record of an hour as a duplicate',
    ['sqlite/batches', 'const owner = untaggedAccount(account)', 'const owner = account'],
    'a record is split by what',
  ),
  mistake(
    'allocations: take a batch with other tags for the same',
    'one of the two splits is lost without a word',
    ['sqlite/batches', '  for (const text of tagged.sort()) hash.update(text)\n'],
    'another split is another batch',
  ),
  mistake(
    'allocations: split what is metered as if it were all',
    'the parts sum to more than the quantity',
    ['rules/allocations', 'included === 0 ? units : proportional(units.map(BigInt), quantity)', 'units'],
    'a contract includes of each what it has',
  ),
  {
    name: 'allocations: send a record again with another split',
    sin: 'AWS may have taken the first, and compares the second with it',
    edits: [
      {
        file: 'metering/answers.ts',
        text: '...(allocations !== undefined && {',
        instead: '...(allocations !== undefined && record.attempts < 2 && {',
      },
    ],
    caughtBy: ['test/allocations.test.ts#whatever AWS answers and who restarts'],
  },
]
