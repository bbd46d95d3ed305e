import { append } from './append.ts'
import { drain } from './drain.ts'
import { dynamodb } from './dynamodb.ts'
import { exports } from './export.ts'
import { footprint } from './footprint.ts'
import { gateway } from './gateway.ts'
import { gatewayLoad } from './gateway-load.ts'
import { gatewayShared } from './gateway-shared.ts'
import { hostile } from './hostile.ts'
import { memory } from './memory.ts'
import { pass } from './pass.ts'
import { postgresql } from './postgresql.ts'
import { postgresqlHistory } from './postgresql-history.ts'
import { quota } from './quota.ts'
import type { Benchmark } from './row.ts'
import { turns } from './turns.ts'

/** All of them, in the order in which they are run and shown. */
export const BENCHMARKS: readonly Benchmark[] = [
  ...[...exports, append, pass, turns, drain, quota, memory, footprint, gateway, gatewayLoad, gatewayShared, hostile],
  ...[postgresql, postgresqlHistory, dynamodb],
]
