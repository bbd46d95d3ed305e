import { CLOCK_OFF, describeSkew } from '../../marketplace/clock-skew.ts'
import { isServed } from '../../marketplace/region.ts'
import { CLOSE_DELAY } from '../options.ts'
import type { Finding } from './finding.ts'

/** What can be told of where this process runs without asking anybody: for the first pass, and for "doctor". */

/** What a first pass warns of: the region, and the clock where the ledger has another. */
export function warningsAtStart(region: string, aheadOfLedger: number): Finding[] {
  return [regionFinding(region), clockFinding(aheadOfLedger, "the ledger's")].filter(({ state }) => state !== 'ok')
}

export function regionFinding(region: string): Finding {
  const name = 'region'
  const served = isServed(region)
  if (served === true) return { name, state: 'ok', message: `AWS takes usage records in ${region}.` }
  if (served === false) {
    const message = `AWS takes no usage records in ${region}: GovCloud has no BatchMeterUsage.`
    return { name, state: 'fault', message, advice: 'Meter in a commercial region, such as us-east-1.' }
  }
  return {
    name,
    state: 'warning',
    message: `It is not known here that AWS takes usage records in ${region}: it was not on AWS's list.`,
    advice: 'Look whether it is there now; where AWS answers DisabledApiException, meter in another region.',
  }
}

/** @param ahead how far this machine's clock is ahead of the other, in milliseconds */
export function clockFinding(ahead: number, whose: "AWS's" | "the ledger's"): Finding {
  const name = whose === "AWS's" ? 'clock' : "ledger's clock"
  if (Math.abs(ahead) < CLOCK_OFF) {
    return { name, state: 'ok', message: `This machine's clock and ${whose} agree within a minute.` }
  }
  const state = Math.abs(ahead) < CLOSE_DELAY ? 'warning' : 'fault'
  return { name, state, message: describeSkew(ahead, whose), advice: TIME_SERVICE }
}

const TIME_SERVICE = 'Let a time service keep it (chrony, systemd-timesyncd): hours and signatures go by it.'

/** The releases of Node.js that this package is for, each line from one on. */
const NODE_LINES: readonly (readonly number[])[] = [
  [22, 22, 3],
  [24, 15, 0],
]
const NEWEST_LINE = 26

export function nodeFinding({ node, sqlite }: { readonly node: string; readonly sqlite?: string }): Finding {
  const [major = 0, minor = 0, patch = 0] = node.split('.').map(part => Number.parseInt(part, 10))
  const line = NODE_LINES.find(([first]) => first === major)
  const [, leastMinor = 0, leastPatch = 0] = line ?? []
  const inLine = line !== undefined && (minor > leastMinor || (minor === leastMinor && patch >= leastPatch))
  const message = `Node.js ${node} with ${sqlite === undefined ? 'no SQLite' : `SQLite ${sqlite}`}`
  if (inLine || major >= NEWEST_LINE) return { name: 'node', state: 'ok', message: `${message}.` }
  return {
    name: 'node',
    state: 'warning',
    message: `${message} is none of the releases that this package is for.`,
    advice: `Run it on Node.js ${NODE_LINES.map(parts => parts.join('.')).join(', ')} or ${NEWEST_LINE}, or what follows each.`,
  }
}
