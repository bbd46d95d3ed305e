import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { adjustCommand } from './adjust.ts'
import { agreementsCommand } from './agreements.ts'
import { allocationsCommand } from './allocations.ts'
import { attributeCommand } from './attribute.ts'
import { auditCommand } from './audit.ts'
import { backupCommand } from './backup.ts'
import { checkCommand } from './check.ts'
import { decideCommand } from './decide.ts'
import { declareRestoredCommand } from './declare-restored.ts'
import { doctorCommand } from './doctor.ts'
import { endpointCommand } from './endpoint.ts'
import { entitlementsCommand } from './entitlements.ts'
import { eventsCommand } from './events.ts'
import { finalizeCommand } from './finalize.ts'
import { heldCommand } from './held.ts'
import { importAgreementsCommand } from './import-agreements.ts'
import { includeCommand } from './include.ts'
import { example, jsonOption } from './options.ts'
import { asksForJson, print, printError } from './output.ts'
import { pruneCommand } from './prune.ts'
import { reconcileCommand } from './reconcile.ts'
import { recordsCommand } from './records.ts'
import { releaseCommand } from './release.ts'
import { restoreCommand } from './restore.ts'
import { sendersCommand } from './senders.ts'
import { serveCommand } from './serve.ts'
import { settleCommand } from './settle.ts'
import { simulateCommand } from './simulate.ts'
import { spoolCommand } from './spool.ts'
import { statementCommand } from './statement.ts'
import { statusCommand } from './status.ts'
import { undoCommand } from './undo.ts'
import { verifyCommand } from './verify.ts'
import { writeOffCommand } from './write-off.ts'

const GROUPS: [string, (() => Command)[]][] = [
  [
    'Look:',
    [
      statusCommand,
      statementCommand,
      allocationsCommand,
      recordsCommand,
      heldCommand,
      agreementsCommand,
      entitlementsCommand,
      auditCommand,
      sendersCommand,
      verifyCommand,
    ],
  ],
  [
    'Decide (each leaves an audit entry):',
    [
      reconcileCommand,
      releaseCommand,
      settleCommand,
      decideCommand,
      attributeCommand,
      writeOffCommand,
      undoCommand,
      finalizeCommand,
      includeCommand,
      adjustCommand,
      importAgreementsCommand,
      endpointCommand,
    ],
  ],
  ['Keep:', [backupCommand, restoreCommand, declareRestoredCommand, pruneCommand, spoolCommand]],
  ['Run:', [serveCommand, eventsCommand, checkCommand, doctorCommand, simulateCommand]],
]

/** The command line. It throws a CommanderError where commander would end the process. */
export function createProgram(): Command {
  const program = new Command('marketplace-meter')
    .description(
      'AWS Marketplace metering: the ledger of usage, where each unit stands and what a person decides; and a gateway that ' +
        'meters what applications in any language send as OTLP.',
    )
    .version(version())
    .helpCommand(false)
    .configureHelp({ subcommandTerm: command => command.name() })
    // As JSON it is told once, by who catches it.
    .configureOutput({ writeOut: print, writeErr: text => asksForJson(process.argv) || printError(text) })
    .exitOverride()
    .showHelpAfterError('See --help.')
    .addHelpText(
      'after',
      `
Begin with "status". The commands to look with only read, beside a running
exporter. Times are UTC, written as ISO 8601. MARKETPLACE_LEDGER names the
ledger for all of them. With --json each prints JSON, errors too.

Exit status:
  0  done, and nothing to decide
  1  done, and a person has to look or decide: of "status --check", "doctor",
     "reconcile", "verify", "spool" and "import-agreements", and of what decides
     where somebody else has decided meanwhile
  2  not done, or usage is at risk; also a mistake in the command line`,
    )
    .addHelpText('after', example('marketplace-meter status'))
  for (const [heading, commands] of GROUPS) {
    for (const make of commands) {
      program.addCommand(make().addOption(jsonOption()).copyInheritedSettings(program).helpGroup(heading))
    }
  }
  return program
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
