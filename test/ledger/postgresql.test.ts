import { after } from 'node:test'
import { ledgerConformance } from './conformance/index.ts'
import { PostgresqlLedgers } from './postgresql/under-test.ts'

const ledgers = await PostgresqlLedgers.shared()
after(() => ledgers[Symbol.asyncDispose]())

ledgerConformance('PostgreSQL', ledgers.underTest)
