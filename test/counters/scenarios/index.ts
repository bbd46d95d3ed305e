import type { Scenario } from './scenario.ts'
import { SCRAPED } from './scraped.ts'
import { SDK } from './sdk.ts'

export const SCENARIOS: readonly Scenario[] = [...SDK, ...SCRAPED]
