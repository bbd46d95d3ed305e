import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import type { Decision, Ledger, RecordDecision, RecordEntry } from '../ledger/ledger.ts'
import { printableBut } from '../text/printable.ts'
import { iso } from '../text/time.ts'
import { addBulk, type BulkOptions } from './choice.ts'
import { counted, decideRecords } from './decide-records.ts'
import { CommandLineError } from './errors.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, nowOption, whoOption, whyOption } from './options.ts'
import type { Planned } from './report/decisions.ts'
import { eachRow, type FileRow, readRows } from './row-file.ts'

const DECISIONS = Object.keys({
  ...{ billed: 0, 'not-billed': 0, release: 0, 'write-off': 0 },
} satisfies Record<Decision, 0>) as Decision[]

export function decideCommand(): Command {
  const command = new Command('decide')
    .description('do with held records what a file says: "held --format csv", with its column "decision" filled in')
    .argument('<file>', 'CSV with a header, or JSON; - is standard input')
    .addOption(ledgerOption())
  return addBulk(command)
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
  marketplace-meter held --reason restored --format csv > decisions.csv
  marketplace-meter decide decisions.csv --why "…" --dry-run

decision         billed, not-billed ("settle"), release or write-off; a row
                 without one stays as it is
billed_quantity  with billed, of what a restore holds: AWS billed only so much
why              where it is not --why

The id says which record. The others may be left out; where they are there, they
are to be that record's. What is decided already is left, so the same file again
does what is not done yet.`,
    )
    .addHelpText('after', example('marketplace-meter decide decisions.csv --why "as CloudTrail says" --dry-run'))
    .action(async (file: string, options: NoteOptions & BulkOptions) => {
      const decisions = eachRow(readRows(file, ['id', 'decision']), row => {
        const decision = decisionOf(row)
        return decision && { row, decision }
      }).filter(one => one !== undefined)
      await withLedger(options.ledger, options.dryRun === true ? 'read' : 'write', async ledger => {
        const { planned, decided: before } = await plan(ledger, decisions)
        const note = [
          before > 0 && `Of what the file says ${counted(before)} ${before === 1 ? 'is' : 'are'} decided already.`,
          decisions.length === 0 && 'Nothing was decided: no row of the file says anything in its column "decision".',
        ].filter(text => text !== false)
        await decideRecords(ledger, planned, options, { before, note })
      })
    })
}

/** @throws CommandLineError where a row does not say a decision */
function decisionOf({ cells }: FileRow): RecordDecision | undefined {
  const { id, decision: text = '', billed_quantity: quantity, why } = cells
  if (text === '') return undefined
  const decision = DECISIONS.find(one => one === text.toLowerCase().replaceAll(/[ _]/g, '-'))
  if (!id) throw new CommandLineError('Expected an id, got none.')
  if (decision === undefined) {
    throw new CommandLineError(`Expected ${DECISIONS.join(', ')} or nothing as decision, got ${JSON.stringify(text)}.`)
  }
  if (quantity && !(decision === 'billed' && /^[1-9]\d{0,9}$/.test(quantity))) {
    throw new CommandLineError(
      `Expected a whole billed_quantity above 0, with the decision billed, got ${JSON.stringify(quantity)}.`,
    )
  }
  return { recordId: id, decision, ...(quantity && { quantity: Number(quantity) }), ...(why && { why }) }
}

/**
 * What is still to be decided.
 *
 * @throws LedgerError where there is no such record
 */
async function plan(
  ledger: Ledger,
  decisions: readonly { readonly row: FileRow; readonly decision: RecordDecision }[],
): Promise<{ planned: Planned[]; decided: number }> {
  const ids = decisions.map(({ decision }) => decision.recordId)
  const seen = new Set<string>()
  const twice = ids.find(id => seen.size === seen.add(id).size)
  if (twice !== undefined) throw new CommandLineError(`Expected each record once, got ${twice} twice.`)
  const records = new Map((await ledger.records({ ids })).map(record => [record.id, record]))
  const all = decisions.map(({ decision }): Planned => {
    const record = records.get(decision.recordId)
    if (record !== undefined) return { record, decision }
    const what = `There is no record ${JSON.stringify(decision.recordId)}; nothing was changed.`
    throw new LedgerError('ERR_LEDGER_NOT_FOUND', what)
  })
  eachRow(
    decisions.map(({ row }) => row),
    ({ cells }) => checkRow(cells, records.get(cells.id as string) as RecordEntry),
  )
  const planned = all.filter(({ record }) => record.state === 'held')
  return { planned, decided: all.length - planned.length }
}

/**
 * @throws CommandLineError where a row tells of another record than its id: a spreadsheet has sorted some columns and not all,
 *   or the file is of another ledger, or of this one before a restore, whose ids other records have
 */
function checkRow(cells: FileRow['cells'], { id, account, dimension, hour }: RecordEntry): void {
  const { accountId, customerIdentifier, licenseArn } = account
  const own = {
    ...{ account_id: accountId, customer_identifier: customerIdentifier, license_arn: licenseArn, dimension },
    // A spreadsheet may write a time in another way.
    ...(ISO.test(cells.hour ?? '') && { hour: iso(hour) }),
  }
  for (const [name, text] of Object.entries(own)) {
    const cell = cells[name] || undefined
    if (cell === undefined || cell === text || cell === asCell(text)) continue
    const what = `Record ${id} is of ${name} ${JSON.stringify(text ?? '')}, got ${JSON.stringify(cell)}`
    throw new CommandLineError(`${what}: its id is in the row of another, or the file is of another ledger.`)
  }
}

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const asCell = (text = '') => printableBut('\t\n', text).trim()
