import { seededRandom } from '../../examples/inference-server/random.ts'
import { EachCall } from './naive/each-call.ts'
import { EachInterval } from './naive/each-interval.ts'
import { Hourly } from './naive/hourly.ts'
import { HourlyCarrying } from './naive/hourly-carrying.ts'
import { WithLedger } from './ours/with-ledger.ts'
import { Plan, type PlanOptions } from './plan.ts'
import type { Outcome, Strategy } from './strategy.ts'
import { HOUR, MINUTE } from './time.ts'
import { Traffic } from './traffic.ts'

/** The strategies, by name. */
export const STRATEGIES: Readonly<Record<string, (plan: Plan) => Promise<Strategy>>> = {
  'this package': plan => WithLedger.open(plan, { operators: true }),
  'this package, without operators': plan => WithLedger.open(plan, { operators: false }),
  'a call for each inference': async plan => new EachCall(plan),
  'a record for each minute': async plan => new EachInterval(plan),
  "an hourly job, as AWS's sample": async plan => new Hourly(plan),
  'an hourly job that carries over': async plan => new HourlyCarrying(plan),
}

/** Lives a strategy through the month. The same options bring the same usage and the same mishaps to each. */
export async function liveThrough(
  name: string,
  options: PlanOptions,
  progress: (share: number) => void,
): Promise<Outcome> {
  const make = STRATEGIES[name]
  if (make === undefined) throw new Error(`There is no strategy "${name}"`)
  const plan = new Plan(options)
  const traffic = new Traffic(plan.customers, seededRandom('traffic', options.seed))
  const strategy = await make(plan)
  // Without traffic nothing happens but at the turn of hours.
  const step = (time: number) => (time < plan.end ? MINUTE : 10 * MINUTE)
  for (let time = plan.start; time < plan.over; time += step(time)) {
    strategy.clock.reach(time)
    for (const happen of plan.aws(time)) happen(strategy.simulator)
    for (const mishap of plan.mishaps(time)) await strategy.suffer?.(mishap)
    const calls = time < plan.end ? traffic.minute(time).filter(({ customer }) => plan.served(customer, time)) : []
    await strategy.minute(time, calls)
    if (time % HOUR === 0) progress((time - plan.start) / (plan.over - plan.start))
  }
  return strategy.end()
}
