import { AMOUNTS } from './amounts.ts'
import { CLOCKS } from './clocks.ts'
import { DELTAS } from './deltas.ts'
import { GAUGES } from './gauges.ts'
import { NAMES } from './names.ts'
import { QUEUES } from './queues.ts'
import { RARER } from './rarer.ts'
import type { Scenario } from './scenario.ts'
import { SCRAPED } from './scraped.ts'
import { SDK } from './sdk.ts'

export const SCENARIOS: readonly Scenario[] = [
  ...SDK,
  ...SCRAPED,
  ...NAMES,
  ...DELTAS,
  ...GAUGES,
  ...QUEUES,
  ...CLOCKS,
  ...AMOUNTS,
  ...RARER,
]
