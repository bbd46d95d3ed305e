import { ledgerConformance } from './conformance/index.ts'
import { openSqlite } from './sqlite-under-test.ts'

ledgerConformance('SQLite', openSqlite)
