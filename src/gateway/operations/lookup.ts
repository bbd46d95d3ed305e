import { HOUR, windowClosesAt } from '../../ledger/hours.ts'
import type { LaneAnswer, RecordEntry } from '../../ledger/ledger.ts'
import { REGION } from '../../marketplace/region.ts'
import { iso } from '../../text/time.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import { type Advice, shellWord } from './command.ts'

/** Where more is said of a customer's records of an hour, by the ledger and by AWS. */
export interface HourLookup {
  readonly hour: string
  /** What AWS has of them was sent in this time. */
  readonly from: string
  readonly to: string
  readonly commands: readonly Advice[]
  /** AWS's console with the events of CloudTrail, where that is known. */
  readonly consoles: readonly { readonly region: string; readonly url: string }[]
}

/** What holds some hours of a region against CloudTrail, or all that no run has yet. */
export function reconcileAgain(region: string, hours?: { readonly from: number; readonly to: number }): string {
  const period = hours === undefined ? '' : ` ${hourOptions(hours.from, hours.to)}`
  return `reconcile --cloudtrail --region ${shellWord(region)}${period}`
}

/** The end is named by its last hour. */
function hourOptions(from: number, to: number): string {
  const name = (time: number) => iso(time).slice(0, 13)
  return `--from ${name(from)} --to ${name(to - HOUR)}`
}

/** The regions in which a customer's records go to AWS. */
export function regionsOf(
  { product, licenseArn }: CustomerAccount,
  answers: readonly LaneAnswer[],
  records: readonly RecordEntry[],
): string[] {
  const identity = licenseArn === undefined ? 'product-code' : 'licence'
  const lanes = answers.filter(lane => lane.product === product && lane.identity === identity)
  // What a restore holds is in none.
  return [...new Set([...lanes, ...records].map(({ region }) => region))].filter(region => REGION.test(region)).sort()
}

export function hourLookup(
  { key }: CustomerAccount,
  hour: number,
  { regions, commandOf }: { readonly regions: readonly string[]; readonly commandOf: (command: string) => string },
): HourLookup {
  const to = windowClosesAt(hour)
  const hours = { from: hour, to: hour + HOUR }
  return {
    ...{ hour: iso(hour), from: iso(hour), to: iso(to) },
    commands: [
      {
        when: 'The records, with AWS’s last answers and ids:',
        command: commandOf(`records --customer ${shellWord(key)} ${hourOptions(hours.from, hours.to)}`),
      },
      ...regions.flatMap(region => [
        {
          when: `CloudTrail of ${region}, held against the ledger:`,
          command: commandOf(reconcileAgain(region, hours)),
        },
        { when: `CloudTrail of ${region} as it is:`, command: lookupEvents(region, hour, to) },
      ]),
    ],
    consoles: regions.flatMap(region => {
      const url = consoleUrl(region, hour, to)
      return url === undefined ? [] : [{ region, url }]
    }),
  }
}

const EVENT = 'BatchMeterUsage'

/** By seconds, as AWS writes times. */
const seconds = (time: number) => `${iso(time).slice(0, 19)}Z`

function lookupEvents(region: string, from: number, to: number): string {
  return (
    `aws cloudtrail lookup-events --region ${region} --lookup-attributes AttributeKey=EventName,AttributeValue=${EVENT} ` +
    `--start-time ${seconds(from)} --end-time ${seconds(to)}`
  )
}

/** CloudTrail's event history in the console, of the partitions whose console's address is known. */
function consoleUrl(region: string, from: number, to: number): string | undefined {
  const host = region.startsWith('cn-')
    ? `${region}.console.amazonaws.cn`
    : region.startsWith('eusc-')
      ? undefined
      : `${region}.console.aws.amazon.com`
  if (host === undefined) return undefined
  const query = new URLSearchParams({ EventName: EVENT, StartTime: seconds(from), EndTime: seconds(to) })
  return `https://${host}/cloudtrailv2/home?region=${region}#/events?${query}`
}
