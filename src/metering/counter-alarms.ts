import { DAY } from '../ledger/hours.ts'
import type { Ledger, LedgerStatus, NotCounted } from '../ledger/ledger.ts'

/** What is wrong where others' counters are kept, so that a person has to mend it. */
export type AlarmVerdict = Exclude<NotCounted, 'baseline' | 'old-counter' | 'too-late' | 'gap'>

export interface CounterAlarm {
  /** An error where usage may stay unbilled. */
  readonly level: 'error' | 'warn'
  /** What is wrong, in a sentence. */
  readonly title: string
  /** What becomes of the usage. */
  readonly usage: string
  /** What to do about it. */
  readonly mend: string
}

const OWN_NAMES = 'Give each process a service.instance.id, and each scraped target an instance of its own'

/** In the order of their urgency. */
export const COUNTER_ALARMS: Readonly<Record<AlarmVerdict, CounterAlarm>> = {
  'shared-identity': {
    level: 'error',
    title: 'Several processes count under one name.',
    usage:
      'Nobody can say whose points are whose: what rises may be held as unattributed usage, what jumps is not billed.',
    mend: OWN_NAMES,
  },
  conflict: {
    level: 'error',
    title: 'Deltas contradict those that were counted before.',
    usage: 'The first of each counts; two processes share one name, or one is broken.',
    mend: OWN_NAMES,
  },
  'out-of-range': {
    level: 'error',
    title: 'A gauge came to more at once than can be measured.',
    usage: 'It is not billed.',
    mend: 'Find out what its sender measures',
  },
  'sent-twice': {
    level: 'warn',
    title: 'A counter comes twice.',
    usage: 'The values and times are the same: it is counted once.',
    mend: `Let one Collector send it. Are they two processes? ${OWN_NAMES}`,
  },
  'moving-start': {
    level: 'warn',
    title: 'Start times of counters move with each export.',
    usage: 'The counters are followed by their values, which two processes under one name would mix up.',
    mend: `Update the sender's SDK. ${OWN_NAMES}`,
  },
  'clock-ahead': {
    level: 'warn',
    title: 'Data points come from a time that has not come.',
    usage: 'They count as of when they came.',
    mend: "Set the sender's clock",
  },
}

export const ALARM_VERDICTS = Object.keys(COUNTER_ALARMS) as AlarmVerdict[]

/** So long is an alarm shown: as long as AWS takes usage of an hour. */
const SHOWN = DAY

/** When it was last raised, in milliseconds since the epoch. */
export interface RecentAlarm {
  readonly verdict: AlarmVerdict
  readonly at: number
}

/** The alarms of the last day, whichever process found them. */
export async function recentAlarms(
  ledger: Pick<Ledger, 'audit'>,
  { notCounted }: LedgerStatus,
  now: number,
): Promise<RecentAlarm[]> {
  const raised = ALARM_VERDICTS.filter(verdict => (notCounted[verdict] ?? 0) > 0)
  if (raised.length === 0) return []
  const entries = await ledger.audit({ actions: raised, limit: 1 })
  return raised.flatMap(verdict => {
    const at = entries.find(({ action }) => action === verdict)?.at
    return at !== undefined && at > now - SHOWN ? { verdict, at } : []
  })
}
