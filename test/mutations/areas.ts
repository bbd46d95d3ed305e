import { globSync } from 'node:fs'

/** The quick tests of each part of the source: those of the first that a file's name begins with. */
const AREAS: readonly (readonly [source: string, ...tests: string[]])[] = [
  ['src/usage/', 'test/usage/*', 'test/gateway/intake', 'test/exporter/options'],
  ['src/ledger/clients/', 'test/ledger/spool', 'test/ledger/writer', 'test/exporter/*'],
  ['src/ledger/postgresql/', 'test/ledger/postgresql', 'test/ledger/postgresql-server.long'],
  ['src/ledger/dynamodb/', 'test/ledger/dynamodb.long', 'test/ledger/dynamodb/*'],
  ['src/ledger/', 'test/ledger/sqlite', 'test/ledger/properties', 'test/ledger/sqlite-{file,together}'],
  ['src/metering/', 'test/metering/*', 'test/exporter/{lifecycle,ledger-faults,telemetry}'],
  ['src/marketplace/', 'test/marketplace/*', 'test/metering/wire'],
  ['src/agreements/', 'test/agreements/*'],
  ['src/gateway/otlp/', 'test/gateway/otlp/*'],
  ['src/gateway/operations/', 'test/gateway/operations/*'],
  ['src/gateway/', 'test/gateway/{intake,config,config-schema}', 'test/cli/serve'],
  ['src/simulator/', 'test/simulator/*', 'test/metering/wire'],
  ['src/cli/', 'test/cli/*'],
  ['src/text/', 'test/cli/{commands,reports,text}'],
  ['src/', 'test/exporter/*', 'test/*'],
]

/** The test files that are to notice a change of a source file. */
export function testsOf(file: string, root: string): string[] {
  const [, ...tests] = AREAS.find(([source]) => file.startsWith(source)) ?? []
  return tests.flatMap(name => globSync(`${name}.test.ts`, { cwd: root }).sort())
}
