import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Outcome, UsageEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { CustomerAccount, UnattributedAccount } from '../../src/usage/account.ts'
import type { Dimension } from '../../src/usage/dimension.ts'

export const MILLION = 1_000_000n

export const TOKENS: Dimension = { name: 'tokens-processed', unit: '{token}', baseUnit: '1', size: 1000n * MILLION }
export const REQUESTS: Dimension = {
  ...{ name: 'inference-requests', unit: '{request}', baseUnit: '1', size: MILLION },
  maxQuantity: 50_000,
}
export const GPU: Dimension = { name: 'gpu-hours', unit: 'h', baseUnit: 's', size: 3600n * MILLION }

export const ACME = customer('111122223333')
export const BOLT = customer('444455556666')
/** A customer whose name is an attack on terminals and spreadsheets. */
export const EVIL: CustomerAccount = {
  ...{ kind: 'customer', key: 'prod,customer==cmd|\u001b[31m', product: 'prod', customerIdentifier: '=cmd|\u001b[31m' },
}
export const STRAY: UnattributedAccount = {
  ...{ kind: 'unattributed', key: 'prod,unattributed=no-customer,{"tenant":"acme"}', product: 'prod' },
  ...{ reason: 'no-customer', evidence: '{"tenant":"acme"}' },
}

/** The hour in which the seeded ledger's younger usage was measured, and the present. */
export const LATEST = Date.parse('2026-11-21T08:00:00Z')
export const NOW = Date.parse('2026-11-21T09:40:00Z')
const EARLIER = LATEST - 25 * HOUR

function customer(accountId: string): CustomerAccount {
  return { kind: 'customer', key: `prod,${accountId}`, product: 'prod', accountId }
}

/** A folder that goes when the test ends. */
export function folder(t: Pick<TestContext, 'after'>): string {
  const path = mkdtempSync(join(tmpdir(), 'cli-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

/**
 * A ledger in which something is in each state. Its records:
 * 1 ACME tokens held in doubt, 2 ACME requests metered, 3 BOLT tokens held in conflict, 4 EVIL requests held (not
 * subscribed), 5 ACME tokens metered, 6 ACME GPU pending, 7 BOLT requests held above the maximum.
 */
export async function seededLedger(path: string): Promise<string> {
  const ledger = new SqliteLedger({ path })
  const writer = 'a'.repeat(32)
  let sequence = 0
  const append = (entries: UsageEntry[]) => {
    sequence += 1
    return ledger.append({ writer, sequence, entries })
  }
  const close = (now: number) =>
    ledger.closeHours({ now, region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 10 * MINUTE })
  const send = async (now: number, outcomes: Record<string, [Outcome, string]>) => {
    for (const lane of (await ledger.due(now)).lanes) {
      const records = await ledger.claim(lane, { now, limit: 25, claimedUntil: now + MINUTE })
      for (const record of records) {
        const [outcome, answer] = outcomes[record.id] ?? []
        assert.ok(outcome, `record ${record.id}: ${record.account.key} ${record.dimension}`)
        await ledger.settle([{ record, outcome, answer: answer ?? '' }], now)
      }
    }
  }
  await ledger.register([TOKENS, REQUESTS, GPU])
  const usage = (account: UsageEntry['account'], dimension: Dimension, amount: bigint, hour: number) => {
    return { account, dimension: dimension.name, amount: amount * MILLION, hour }
  }
  await append([usage(ACME, TOKENS, 12_345n, EARLIER)])
  await append([usage(ACME, REQUESTS, 90n, EARLIER)])
  await append([usage(BOLT, TOKENS, 7_000n, EARLIER)])
  await append([usage(EVIL, REQUESTS, 5n, EARLIER), usage(STRAY, TOKENS, 2_500n, EARLIER)])
  await close(EARLIER + HOUR + 10 * MINUTE)
  const lost: Outcome = { type: 'retry', at: EARLIER + 2 * HOUR, notTaken: false }
  await send(EARLIER + HOUR + 10 * MINUTE, {
    1: [lost, 'TimeoutError: no answer within 10 s'],
    2: [{ type: 'metered', meteringRecordId: 'a1b2c3d4-0000-4000-8000-000000000002' }, 'Success'],
    3: [{ type: 'conflict', rollForward: false }, 'DuplicateRecord'],
    4: [{ type: 'not-subscribed' }, 'CustomerNotSubscribed'],
  })
  await ledger.expire(LATEST)
  await append([usage(ACME, TOKENS, 3_000_655n, LATEST)])
  await append([usage(ACME, GPU, 5_000n, LATEST)])
  await append([usage(BOLT, REQUESTS, 60_000n, LATEST)])
  await close(LATEST + HOUR + 10 * MINUTE)
  await send(LATEST + HOUR + 10 * MINUTE, {
    5: [{ type: 'metered', meteringRecordId: 'a1b2c3d4-0000-4000-8000-000000000005' }, 'Success'],
    6: [{ type: 'retry', at: LATEST + 2 * HOUR, notTaken: true }, 'ThrottlingException: Rate exceeded'],
  })
  await append([usage(BOLT, TOKENS, 250n, LATEST + HOUR)])
  await ledger.close()
  return path
}

export const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

interface Ran {
  readonly stdout: string
  readonly stderr: string
  readonly status: number | null
}

const WARM = fileURLToPath(new URL('warm.ts', import.meta.url))
let warm: ChildProcess | undefined
let runs: Promise<unknown> = Promise.resolve()

/**
 * Runs the command line as an operator does, but that its process goes on to run the next one, as it takes longer to begin
 * than to run most commands. One after another; what is about processes themselves starts `MAIN`.
 */
export function run(args: string[], env: NodeJS.ProcessEnv = {}, cwd = process.cwd()): Promise<Ran> {
  const ran = runs.then(async () => {
    warm ??= begin()
    const child = warm
    const answer = new Promise<Ran>(resolve => child.once('message', message => resolve(message as Ran)))
    child.ref()
    child.channel?.ref()
    child.send({ args, env: { ...process.env, ...env }, cwd })
    const result = await answer
    child.unref()
    child.channel?.unref()
    return result
  })
  runs = ran.catch(() => {})
  return ran
}

function begin(): ChildProcess {
  const child = fork(WARM, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  child.once('exit', () => {
    if (warm === child) warm = undefined
  })
  return child
}
