import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import fc from 'fast-check'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { FAULT_KINDS } from '../../src/simulator/index.ts'
import type { Deployment, LedgerFault } from './process.ts'
import { type Mishap, STARTS, type Use, World } from './world.ts'

/** With the same seed the same sequences. */
export const SEED = Number(process.env.PROPERTY_SEED ?? 20_260_610)
/** How many sequences each file tries. */
export const RUNS = Number(process.env.PROPERTY_RUNS ?? 250)

type StepName = Exclude<
  { [Name in keyof World]: World[Name] extends (...given: never[]) => Promise<void> ? Name : never }[keyof World],
  'calm' | 'close'
>
type Step = [name: StepName, ...given: never[]]

const natural = (max: number) => fc.integer({ min: 0, max })
const which = natural(1)
const customer = natural(2)
const sold = natural(3)

type Arbitraries<Given extends unknown[]> = { [At in keyof Given]: fc.Arbitrary<Given[At]> }

/** A step's arbitrary: its arguments must be those of the world's method. */
function step<Name extends StepName>(weight: number, name: Name, ...given: Arbitraries<Parameters<World[Name]>>) {
  const values = fc.tuple(...(given as fc.Arbitrary<unknown>[]))
  return { weight, arbitrary: values.map(all => [name, ...all] as Step) }
}

const deployment: fc.Arbitrary<Deployment> = fc.record({
  region: fc.constantFrom('us-east-1', 'us-east-1', 'eu-west-1'),
  per: fc.constantFrom(1000, 1000, 500, 7000),
  onConflict: fc.constantFrom('hold', 'roll-forward'),
  onNotSubscribed: fc.constantFrom('hold', 'roll-forward'),
})
const ledgerFault: fc.Arbitrary<LedgerFault> = fc.record({
  method: fc.constantFrom(
    'append',
    'append',
    'noteAgreement',
    'noteEntitlements',
    'settle',
    'settle',
    'claim',
    'closeHours',
    'expire',
    'due',
  ),
  done: fc.boolean(),
})
const amount = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 5000 }) },
  // More than one record can carry.
  { weight: 1, arbitrary: fc.constant(3_000_000_000) },
)

const fault = step(6, 'fault', fc.constantFrom(...FAULT_KINDS), fc.integer({ min: 1, max: 4 }), natural(5))
const subscription = step(3, 'subscription', customer, fc.boolean())
const intrude = step(4, 'intrude', customer, sold, natural(2))
const endAfter = step(3, 'endAfter', which, fc.integer({ min: 1, max: 14 }))
const strand = step(2, 'strand', which)
const event = step(4, 'event', which, fc.boolean(), fc.boolean())
const amend = step(4, 'amend', customer, natural(9))
const renew = step(3, 'renew', customer, natural(9), fc.constantFrom(3, 50, 9000))
const stale = step(2, 'stale', fc.constantFrom(2, 30, 200), fc.integer({ min: 1, max: 3 }))
const unread = step(3, 'unread', fc.constantFrom(1, 2, 20, 20))
const mishap = fc.oneof(
  fault,
  subscription,
  intrude,
  endAfter,
  strand,
  event,
  amend,
  renew,
  stale,
  unread,
) as fc.Arbitrary<Mishap>
const use: fc.Arbitrary<Use> = fc.tuple(natural(3), sold, amount)

const steps = fc.array(
  fc.oneof(
    step(20, 'hour', which, fc.array(use, { maxLength: 4, size: 'max' }), mishap),
    step(5, 'hour', which, fc.array(use, { maxLength: 4, size: 'max' })),
    step(4, 'measure', which, natural(3), sold, amount),
    step(3, 'export', which),
    step(5, 'pass', which),
    step(3, 'bothPass'),
    step(4, 'wait', natural(90)),
    step(2, 'wait', fc.constantFrom(7 * 60, 25 * 60, 60 * 60)),
    step(1, 'setClock', fc.constantFrom(0, 0, 1, -3, 24, -24, 400)),
    fault,
    step(5, 'ledgerFault', which, ledgerFault),
    strand,
    step(2, 'arrive'),
    endAfter,
    step(1, 'deploy', which, deployment),
    subscription,
    step(1, 'define', which, fc.uniqueArray(sold, { minLength: 2, maxLength: 4 })),
    intrude,
    step(1, 'finalize', which, customer, natural(70)),
    event,
    amend,
    renew,
    stale,
    unread,
    step(2, 'vanish', customer),
    step(3, 'read', natural(4)),
    step(
      3,
      'news',
      which,
      customer,
      fc.constantFrom('registered', 'active', 'active', 'ended'),
      fc.oneof(natural(90), fc.integer({ min: -200, max: 12_000 })),
    ),
    step(1, 'give', customer, customer, sold),
    step(5, 'judge', natural(9)),
    step(1, 'attribute', customer, sold),
    step(2, 'writeOff', natural(9)),
    step(4, 'undo', natural(1)),
  ),
  { minLength: 3, maxLength: 18, size: 'max' },
)

const circumstances = fc.record({
  start: fc.constantFrom(...STARTS),
  identities: fc.constantFrom('product-code', 'licence', 'licence', 'both', 'both'),
  undocumented: fc.record({
    endedLicence: fc.constantFrom('CustomerNotSubscribed', 'InvalidLicenseException'),
    resend: fc.constantFrom('Success', 'Success', 'DuplicateRecord'),
  }),
  zeroQuantityRecords: fc.boolean(),
  contract: fc.option(
    fc.record({
      entitled: fc.integer({ min: 0, max: 9 }),
      hours: fc.constantFrom(2, 4, 30, 9000, 9000),
      quantity: fc.integer({ min: 1, max: 15 }),
      outcome: fc.constantFrom('hold', 'hold', 'meter'),
    }),
    { nil: undefined },
  ),
  seed: fc.nat(),
})

/** A ledger for one sequence: `open` connects to it, as a process that begins does. */
export interface Storage {
  open(): Ledger
  dispose(): Promise<void> | void
}

/**
 * Tries random sequences; fails with the seed and the shortest sequence that fails. Returns how many sequences met what.
 */
export async function trySequences(newStorage: () => Storage, seed: number, runs = RUNS): Promise<Map<string, number>> {
  const met = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(circumstances, steps, async (given, script) => {
      const storage = newStorage()
      const world = new World({ ...given, open: () => storage.open() })
      try {
        for (const [name, ...values] of script) {
          await (world[name] as (...values: never[]) => Promise<void>).apply(world, values)
          await world.check()
        }
        await world.calm()
        for (const what of world.met) met.set(what, (met.get(what) ?? 0) + 1)
      } finally {
        await world.close()
        await storage.dispose()
      }
    }),
    { seed, numRuns: runs, endOnFailure: process.env.PROPERTY_SHRINK === '0' },
  )
  return met
}

const EVERYTHING = [
  'metered',
  'pending',
  'pending, in doubt',
  'returned expired',
  'held conflict',
  'held in-doubt, in doubt',
  'held not-subscribed',
  'held refused',
  'held over-maximum',
  'held agreement-ended',
  'held two-identities',
  'pending not-subscribed',
  'billed in its own hour',
  'included',
  'included of tokens, and the rest metered',
  'included of gpu-hours, and the rest metered',
  'held entitlement-unknown',
  'an old reading',
  'a process ended in the middle',
]

/** That the sequences came to everything there is to meet. */
export function assertMet(test: TestContext, met: ReadonlyMap<string, number>, runs = RUNS): void {
  for (const [what, times] of [...met].sort(([, a], [, b]) => b - a)) test.diagnostic(`${what}: ${times} of ${runs}`)
  if (runs < 300) return
  for (const what of EVERYTHING) assert.ok((met.get(what) ?? 0) > 0, `no sequence met: ${what}`)
}
