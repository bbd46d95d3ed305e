import type { LedgerUnderTest } from '../scene.ts'
import { agreementEnds } from './agreement-ends.ts'
import { agreements } from './agreements.ts'
import { allocations } from './allocations.ts'
import { answers } from './answers.ts'
import { appends } from './appends.ts'
import { auditTrail } from './audit-trail.ts'
import { bulkDecisions } from './bulk-decisions.ts'
import { bystanders } from './bystanders.ts'
import { claims } from './claims.ts'
import { clocks } from './clocks.ts'
import { closingHours } from './closing-hours.ts'
import { countersConformance } from './counters.ts'
import { countersMemory } from './counters-memory.ts'
import { decisions } from './decisions.ts'
import { dimensions } from './dimensions.ts'
import { endpoints } from './endpoints.ts'
import { entitlements } from './entitlements.ts'
import { forgetting } from './forgetting.ts'
import { guards } from './guards.ts'
import { notSubscribed } from './not-subscribed.ts'
import { questions } from './questions.ts'
import { scenarios } from './scenario.ts'
import { undoing } from './undoing.ts'
import { windows } from './windows.ts'
import { zeroQuantities } from './zero-quantities.ts'

/**
 * What every ledger has to do, whatever the engine. Equations read `recorded = metered + pending + held + balance`;
 * that they hold, for every series and after every call, is checked by the scene itself.
 *
 * @param every of the many scenarios of others' counters, each so many-th is played; unless all are, none of rules alone is
 */
export function ledgerConformance(name: string, open: () => Promise<LedgerUnderTest>, every = 1): void {
  const scenario = scenarios(open, every === 1)
  appends(name, scenario)
  dimensions(name, scenario)
  closingHours(name, scenario)
  zeroQuantities(name, scenario)
  claims(name, scenario)
  answers(name, scenario)
  windows(name, scenario)
  notSubscribed(name, scenario)
  guards(name, scenario)
  agreementEnds(name, scenario)
  agreements(name, scenario)
  entitlements(name, scenario)
  allocations(name, scenario)
  decisions(name, scenario)
  bulkDecisions(name, scenario)
  undoing(name, scenario)
  questions(name, scenario)
  auditTrail(name, scenario)
  endpoints(name, scenario)
  clocks(name, scenario)
  bystanders(name, scenario)
  countersConformance(name, open, every)
  countersMemory(name, scenario)
  forgetting(name, scenario)
}
