import { diskOf, lackOfRoom } from '../../ledger/disk.ts'
import { MINUTE } from '../../ledger/hours.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import type { Activity } from './activity.ts'
import type { ReadinessCheck } from './readiness.ts'

/** Checks that every gateway has use for. */

/** The ledger answers. */
export function ledgerCheck(ledger: Pick<Ledger, 'ping'>): ReadinessCheck {
  return { name: 'ledger', check: () => ledger.ping() }
}

/** The disk that holds `folder`, with the file of a ledger or a spool, has room for so many bytes. */
export function diskCheck(folder: string, bytes: number): ReadinessCheck {
  return {
    name: 'disk',
    check: async () => {
      const lack = lackOfRoom((await diskOf(folder)).free, bytes)
      if (lack !== undefined) throw new Error(lack)
    },
  }
}

/** A metering pass succeeded within `longest` milliseconds. Advisory: usage is safe in the ledger meanwhile. */
export function passCheck(activity: Activity, longest: number): ReadinessCheck {
  return {
    name: 'metering-pass',
    advisory: true,
    check: () => {
      const { sinceGoodPass, lastPass } = activity.passes()
      if (sinceGoodPass <= longest) return
      const error = lastPass?.error === undefined ? '' : `: ${lastPass.error}`
      throw new Error(`no metering pass has succeeded for ${Math.floor(sinceGoodPass / MINUTE)} minutes${error}`)
    },
  }
}
