import type { HeldReason } from '../ledger/ledger.ts'
import { lines } from './lines.ts'

export interface HeldAdvice {
  /** What it means, in lines that fit a narrow terminal. */
  readonly means: string
  /** What a person does, with `<id>` for a record. */
  readonly commands: readonly (readonly [when: string, command: string])[]
  /** What happens to a quantity that is released. */
  readonly released: string
}

const IN_THE_BALANCE = 'It is in the balance again and goes out with the next hour that is closed.'

const settleAs = (when: string, outcome: 'billed' | 'not-billed') =>
  [when, `settle <id> --${outcome} --why "…"`] as const
const release = (when: string) => [when, 'release <id> --why "…"'] as const
const writeOff = (when: string) => [when, 'write-off --held <id> --why "…"'] as const

/** Whose ARN it is the command before has shown. */
const WITH_CALLER = [
  "What that settles, with this ledger's ARN from the column CALLER:",
  'reconcile --cloudtrail --caller <arn> --settle --dry-run',
] as const

/** What to do with a held record, by what holds it. */
export const HELD_ADVICE: Readonly<Record<HeldReason, HeldAdvice>> = {
  'in-doubt': {
    means: lines(
      'AWS may have billed it: it was sent, and the answer never came. "reconcile"',
      'reads what CloudTrail has of BatchMeterUsage, and settles what that proves.',
      "AWS's usage report tells, too.",
    ),
    commands: [
      ['What CloudTrail says of all that is in doubt, and who calls (CALLER):', 'reconcile --cloudtrail'],
      WITH_CALLER,
      settleAs('AWS billed it:', 'billed'),
      settleAs('AWS did not:', 'not-billed'),
    ],
    released: IN_THE_BALANCE,
  },
  restored: {
    means: lines(
      'It was in the balance or held when the backup was made that this ledger is',
      'restored from, and the lost ledger may have billed it since, with any hour.',
      '"reconcile" adds up what AWS billed since the backup for the customer and',
      'dimension, without hours that this ledger has records of, and settles all or',
      'a part by that. What it leaves is to be added up, and shared out, by hand.',
    ),
    commands: [
      ['What CloudTrail says of all of it, and who calls (CALLER):', 'reconcile --cloudtrail'],
      WITH_CALLER,
      settleAs('AWS billed as much as is held, or more:', 'billed'),
      ['AWS billed less, in its own units:', 'settle <id> --billed --quantity <units> --why "…"'],
      settleAs('AWS billed none of it:', 'not-billed'),
    ],
    released: IN_THE_BALANCE,
  },
  conflict: {
    means: lines(
      'AWS has another quantity for this hour (DuplicateRecord), so this one is',
      'not billed. Somebody else meters this product: a second ledger, another',
      'tool, a restored backup. Find it in CloudTrail, and stop it first.',
    ),
    commands: [
      ['Who it is, from where, and how much:', 'reconcile --cloudtrail'],
      settleAs('What it sent was this usage:', 'billed'),
      settleAs('It was other usage; this is still to be billed:', 'not-billed'),
    ],
    released: IN_THE_BALANCE,
  },
  'not-subscribed': {
    means: lines(
      'AWS says that the customer is not subscribed, and has not billed it. Each',
      "hour's usage is held like this until AWS takes one; then what is new goes",
      'out by itself, and this stays held, but where news of an agreement that',
      'covers its hour comes within a day: then it is sent. A record that was',
      'never attempted may have usage of hours before its own in it, too, or have',
      'come too late for AWS. Usage without an agreement is not to be billed',
      'through AWS. Before you bill it in another way, write it off, or it may be',
      'billed twice.',
    ),
    commands: [
      ["Was there an agreement in its hour? If none is known, see AWS's console:", 'agreements --customer <customer>'],
      release('There was an agreement in its hour, and there is one now:'),
      [
        'The same of a customer and all hours of a time (first with --dry-run):',
        'release --reason not-subscribed --customer <customer> --from <hour> --to <hour> --why "…"',
      ],
      writeOff('There was none, or you bill it in another way:'),
    ],
    released: lines(
      IN_THE_BALANCE,
      'It is billed to the agreement that is in force then. If AWS still knows of',
      'none, all that was released is held again, as one record.',
    ),
  },
  refused: {
    means: lines(
      'AWS refused this record and has not billed it. Its last answer says why;',
      'often the dimension is not defined for the product.',
    ),
    commands: [release('The cause is mended:'), writeOff('It is not to be billed, or you bill it in another way:')],
    released: lines(IN_THE_BALANCE, 'If the cause is not mended, it will be held again.'),
  },
  'over-maximum': {
    means: lines(
      "It is above the dimension's maxQuantity and was never sent. Find out",
      'whether the application counted wrong.',
    ),
    commands: [release('The usage is real:'), writeOff('It was counted wrong:')],
    released: lines(IN_THE_BALANCE, 'This much may pass the maximum once.'),
  },
  'two-identities': {
    means: lines(
      'AWS knows this customer by a licence and by a product code, and the same',
      'AWS account has a record of the other for this hour and dimension. AWS would',
      'bill both. Find out what counts the same usage twice, under two identities,',
      'and stop it. What is counted twice is billed to nobody while it stays here.',
    ),
    commands: [
      release('It is other usage, of another product:'),
      release('The other’s record of that hour was not billed ("records" shows it), and is a day old:'),
      writeOff('It is counted twice:'),
      [
        'So it does not come again, tell the code of the licence’s product (in a column product_code):',
        'import-agreements <file>',
      ],
    ],
    released: lines(IN_THE_BALANCE, 'This much may pass beside the other identity once.'),
  },
  'entitlement-unknown': {
    means: lines(
      'The contract of this customer may include some of it, and AWS did not say how',
      'much for as long as usage waits for that. It was never sent.',
    ),
    commands: [
      ['Why AWS does not say it:', 'doctor'],
      ['Up to when it is known, and what the customer has left:', 'entitlements'],
      release('AWS has answered since, in the same term and month of the contract:'),
      writeOff('You bill it in another way, or nobody. Nothing of the contract is used for it:'),
    ],
    released: lines(
      IN_THE_BALANCE,
      'What the contract includes in the term or month of that hour is taken from it',
      'then. While AWS still does not say it, it is held again.',
    ),
  },
  'agreement-ended': {
    means: lines(
      'The agreement ended before it could be billed, and AWS takes no more usage',
      'for it. News of another that covers its hour, within a day, sends it. Bill',
      'it in another way after that day, or it may be billed twice; and write off',
      'what you have billed so.',
    ),
    commands: [
      release('The customer has a new agreement under the same identity, the same licence:'),
      [
        'It is usage of another licence of the same AWS account, which AWS takes usage for ("agreements" shows it):',
        'attribute <old licence> <dimension> --account-id <customer> --license-arn <new> --why "…"',
      ],
      writeOff('You have billed it in another way, or nobody is to be billed:'),
    ],
    released: lines(
      IN_THE_BALANCE,
      'The agreement counts as running again, and usage of its tenant may go to it.',
      'Where another licence has replaced it, end it again by "finalize".',
    ),
  },
}

/**
 * What a person does about records that are held for a reason: of several, with all of them at once, or in a file.
 *
 * @param records how many
 * @param id of the only one, where it is known
 * @param more options that tell these from others held for the same reason
 */
export function heldCommands(
  reason: HeldReason,
  records: number,
  id = '<id>',
  more = '',
): (readonly [when: string, command: string])[] {
  const { commands } = HELD_ADVICE[reason]
  if (records === 1) return commands.map(([when, command]) => [when, command.replace('<id>', id)])
  const these = `--reason ${reason}${more}`
  const all = commands.flatMap(([when, command]): (readonly [string, string])[] => {
    if (!command.includes('<id>')) return [[when, command]]
    // Each has a quantity of its own.
    if (command.includes('--quantity')) return []
    return [[when, `${command.replace('<id>', these)} --dry-run`]]
  })
  return [
    ...all,
    ['To each its own, in the column "decision" of a file:', `held ${these} --format csv > decisions.csv`],
    ['… which then is done:', 'decide decisions.csv --why "…" --dry-run'],
  ]
}

/** What it means as one line. */
export const paragraph = (lines: string) => lines.replaceAll('\n', ' ')
