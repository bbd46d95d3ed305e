import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { LedgerClock } from '../../ledger/clients/clock.ts'
import { diskOf, lackOfRoom, MIN_FREE_BYTES } from '../../ledger/disk.ts'
import { LedgerError } from '../../ledger/errors.ts'
import { HOUR, hourOf } from '../../ledger/hours.ts'
import { lastBilled, YOUNGEST_METERED } from '../../ledger/last-billed.ts'
import type { Ledger, LedgerStatus } from '../../ledger/ledger.ts'
import { ledgerFile, ledgerName, openLedger } from '../../ledger/open.ts'
import { denial } from '../../ledger/sqlite/denial.ts'
import { fileSize, realFile, refusePlace } from '../../ledger/sqlite/place.ts'
import { printable } from '../../text/printable.ts'
import { sizeText } from '../../text/size.ts'
import { distance, shortTime } from '../../text/time.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { otherBaseUnits } from '../base-units.ts'
import { type Finding, sentence } from './finding.ts'
import { clockFinding } from './surroundings.ts'

/** A ledger as it is found: opened to look, and never made or changed. */
export interface FoundLedger {
  readonly findings: readonly Finding[]
  /** Where it could be opened; to be closed by whoever asked. */
  readonly ledger: Ledger | undefined
}

/** For how long another process may hold a file's lock, in milliseconds. */
const BUSY_TIMEOUT = 5000

/** Opens the ledger at an address, and tells of where it is. */
export async function findLedger(address: string): Promise<FoundLedger> {
  const name = 'ledger'
  const path = ledgerFile(address)
  const disk = path === undefined ? [] : await diskFindings(path)
  try {
    if (path !== undefined && !fileSize(path)) return { findings: [missingFile(path), ...disk], ledger: undefined }
    const ledger = await openLedger(address, { readOnly: true, busyTimeout: BUSY_TIMEOUT })
    const denied = path === undefined ? undefined : deniedWriting(path)
    const found = `${ledgerName(address)} is a ledger, and its schema is this version's.`
    const finding: Finding = denied ?? { name, state: 'ok', message: found }
    return { findings: [finding, ...disk], ledger }
  } catch (error) {
    if (!(error instanceof LedgerError)) {
      return { findings: [fault(name, (error as Error).message), ...disk], ledger: undefined }
    }
    const { code, message } = error
    // The database is there, and nothing is in it yet.
    if (code === 'ERR_LEDGER_NOT_FOUND') return { findings: [notThere(message), ...disk], ledger: undefined }
    const older = code === 'ERR_LEDGER_READ_ONLY' && /older version/.test(message)
    const finding: Finding = older
      ? { name, state: 'warning', message: sentence(message), advice: 'Make a backup before a new version opens it.' }
      : fault(name, message)
    return { findings: [finding, ...disk], ledger: undefined }
  }
}

const fault = (name: string, message: string): Finding => ({
  ...{ name, state: 'fault', message: sentence(message) },
  advice: 'Nothing is metered until that is mended.',
})

const notThere = (message: string): Finding => ({
  ...{ name: 'ledger', state: 'warning', message: sentence(message) },
  advice: 'It is made when an exporter or gateway starts. Where one has run already, name its ledger.',
})

function missingFile(path: string): Finding {
  const folder = dirname(path)
  if (!existsSync(folder))
    return fault('ledger', `There is no ledger at ${path}, and no folder ${folder} to make it in`)
  const denied = deniedWriting(path)
  if (denied !== undefined) return denied
  try {
    refusePlace(path, 'ledger')
  } catch (error) {
    return fault('ledger', (error as Error).message)
  }
  return notThere(`There is no ledger at ${path} yet`)
}

function deniedWriting(path: string): Finding | undefined {
  const denied = denial(path)
  return denied === undefined ? undefined : fault('ledger', `This user may not write to ${path}: ${denied}`)
}

/** statfs(2). */
const FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'XFS'],
  [0x9123683e, 'Btrfs'],
  [0x2fc12fc1, 'ZFS'],
  [0xf2f52010, 'F2FS'],
])
/** What is gone with the machine or with the container. */
const VOLATILE = new Map([
  [0x01021994, 'in memory (tmpfs), and gone when this machine or container ends'],
  [0x858458f6, 'in memory (ramfs), and gone when this machine or container ends'],
  [0x794c7630, "in the container's own layer (overlay), and gone with the container"],
])

async function diskFindings(path: string): Promise<Finding[]> {
  const folder = dirname(realFile(path))
  if (!existsSync(folder)) return []
  const { free, type } = await diskOf(folder)
  return [diskFinding(free, type)]
}

/**
 * @param free bytes
 * @param type of the file system, as statfs(2) has it
 */
export function diskFinding(free: number, type: number): Finding {
  const name = 'disk'
  const lack = lackOfRoom(free, MIN_FREE_BYTES)
  if (lack !== undefined) return { name, state: 'fault', message: sentence(`On its disk: ${lack}`) }
  const volatile = VOLATILE.get(type >>> 0)
  const room = `${sizeText(free)} free`
  if (volatile !== undefined) {
    const message = `The ledger is ${volatile}, and usage that is not billed yet with it; ${room}.`
    return { name, state: 'warning', message, advice: 'Put it on a volume that outlives them.' }
  }
  const system = FILE_SYSTEMS.get(type >>> 0)
  return { name, state: 'ok', message: `${room}${system === undefined ? '' : ` on ${system}`}.` }
}

export interface Expected {
  /** Its names, by product code and for customers with a licence; none where they are not known. */
  readonly products: readonly string[]
  /** Those that are configured; undefined where that is not known. */
  readonly dimensions: readonly Dimension[] | undefined
  /** This process's clock, in milliseconds since the epoch. */
  readonly now: () => number
}

/** What a ledger's content says: of clocks, and whether it is the one that is meant. */
export async function contentFindings(
  ledger: Ledger,
  status: LedgerStatus,
  { products, dimensions, now }: Expected,
): Promise<Finding[]> {
  const clock = new LedgerClock(ledger.clock, now)
  await clock.sync()
  const findings = [clockFinding(-clock.ahead, "the ledger's")].filter(({ state }) => state !== 'ok')
  const behind = await behindFinding(ledger, clock.now())
  if (behind !== undefined) findings.push(behind)
  const { closedThrough } = status
  if (closedThrough !== undefined && closedThrough > clock.now()) {
    const message = `The ledger's last closed hour, ${shortTime(closedThrough)}, is to come: a clock was ahead.`
    findings.push({ name: 'clock', state: 'warning', message, advice: 'Look at the clocks of all that meter with it.' })
  }
  const other = await otherProduct(ledger, products)
  if (other !== undefined) findings.push(other)
  for (const problem of otherBaseUnits(dimensions ?? [], await ledger.dimensions()).values())
    findings.push({ name: 'ledger', state: 'fault', message: sentence(problem) })
  return findings
}

/** AWS takes no hour that is to come: what it has billed says what time it is at least. */
async function behindFinding(ledger: Ledger, now: number): Promise<Finding | undefined> {
  const billed = lastBilled(await ledger.records(YOUNGEST_METERED))
  if (billed === undefined || billed <= hourOf(now)) return undefined
  const message = `AWS has billed the hour ${shortTime(billed)} already, which begins ${distance(billed, now)} by this clock: it is behind.`
  return { name: 'clock', state: 'fault', message, advice: 'Set the clock.' }
}

/** A ledger with usage of other products alone is somebody else's, or the product's name has changed. */
async function otherProduct(ledger: Ledger, named: readonly string[]): Promise<Finding | undefined> {
  if (named.length === 0) return undefined
  const products = new Set((await ledger.statement()).map(({ account }) => account.product))
  if (products.size === 0 || named.some(product => products.has(product))) return undefined
  const message = `The ledger has usage of ${[...products].map(one => printable(one)).join(', ')}, and none of ${named.join(' or ')}.`
  return {
    name: 'ledger',
    state: 'warning',
    message,
    advice: 'Look whether it is the right ledger, and the right product.',
  }
}

/** The last hour that the ledger has closed, where it is not to come. */
export function closedHour({ closedThrough }: LedgerStatus, now: number): number | undefined {
  return closedThrough !== undefined && closedThrough + HOUR <= now ? closedThrough : undefined
}
