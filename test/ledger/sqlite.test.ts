import { ledgerConformance } from './conformance.ts'
import { openSqlite } from './sqlite-under-test.ts'

ledgerConformance('SQLite', openSqlite)
