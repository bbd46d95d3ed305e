import { Command, Option } from 'commander'
import type { AuditAction } from '../ledger/ledger.ts'
import { groupOf } from '../ledger/rules/audit.ts'
import { UNDOABLE } from '../ledger/rules/undo.ts'
import { customerQuery } from './account.ts'
import { readDimensions } from './dimensions.ts'
import type { AuditEntry } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, limit } from './options.ts'
import { noneSo, printAs, printError, screen } from './output.ts'
import { auditCsv, auditJson, auditTable } from './report/audit.ts'

interface Options extends CommonOptions {
  limit: number
  action?: AuditAction
  who?: string
  customer?: string
  group?: string
}

const ACTIONS = Object.keys({
  ...{
    release: 0,
    settle: 0,
    attribute: 0,
    'write-off': 0,
    undo: 0,
    finalize: 0,
    agreement: 0,
    restore: 0,
    prune: 0,
    register: 0,
    fed: 0,
    lost: 0,
    reconcile: 0,
    endpoint: 0,
    'above-alert': 0,
    adjust: 0,
    entitlement: 0,
  },
  ...{ 'set-aside': 0, baseline: 0, 'old-counter': 0, 'too-late': 0, conflict: 0, gap: 0, 'shared-identity': 0 },
  ...{ 'sent-twice': 0, 'moving-start': 0, 'clock-ahead': 0, 'out-of-range': 0 },
} satisfies Record<AuditAction, 0>)

export function auditCommand(): Command {
  return new Command('audit')
    .description("who did what, and what was found of others' counters, the newest first")
    .addOption(ledgerOption())
    .addOption(new Option('--action <action>', 'only these').choices(ACTIONS))
    .option('--who <name>', 'only of a person, a sender or "ledger"')
    .option('--customer <name>', 'only of one: account id, identifier, licence or key')
    .option('--group <id>', 'only what one command has decided')
    .option('--limit <number>', 'at most so many', limit, 100)
    .addOption(formatOption('table', 'json', 'csv'))
    .addHelpText('after', example('marketplace-meter audit --action release --limit 20'))
    .action(async ({ ledger: path, limit, action, who, customer, group, ...form }: Options) => {
      const actions = action === undefined ? group && [...UNDOABLE, 'undo' as const] : [action]
      // One more, to know whether there are more.
      const most = group === undefined ? limit + 1 : Number.MAX_SAFE_INTEGER
      const query = { limit: most, ...(actions && { actions }), ...(who && { who }) }
      const [all, dimensions] = await withLedger(path, 'read', async ledger => [
        await ledger.audit({ ...query, ...(await customerQuery(ledger, customer)) }),
        await readDimensions(ledger),
      ])
      const found = group === undefined ? all : all.filter(entry => groupOf(entry) === group)
      const entries = found.slice(0, limit)
      printAs<AuditEntry[]>(form, {
        json: () => auditJson(entries, dimensions),
        csv: () => auditCsv(entries, dimensions),
        text: () =>
          (entries.length === 0 && noneSo('No entries', 'audit', { action, who, customer, group })) ||
          auditTable(entries, dimensions, screen()),
      })
      if (found.length > limit) printError(`There are more than these ${limit}: see --limit, or narrow it down.`)
    })
}
