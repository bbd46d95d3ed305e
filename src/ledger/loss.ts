import type { AgreementNews, AgreementOptions, AuditEntry, Ledger } from './ledger.ts'

/**
 * That a ledger has lost commits that it had acknowledged: a replica took over that was behind, or an old copy was put
 * back. Who brings usage in notes it where a batch of its own is gone. What else is gone nobody knows: hours that were
 * frozen, answers of AWS. To freeze or send then may bill twice. So nobody does until a person declares the ledger restored,
 * which holds what may have been billed.
 *
 * @returns the note of it that no declaration has followed
 */
export async function openLoss(ledger: Pick<Ledger, 'audit'>): Promise<AuditEntry | undefined> {
  const [lost] = await ledger.audit({ actions: ['lost'], limit: 1 })
  if (lost === undefined) return undefined
  const [restored] = await ledger.audit({ actions: ['restore'], limit: 1 })
  return (restored?.number ?? 0) > (lost.number ?? 0) ? undefined : lost
}

/** On which terms news of an agreement are noted: an end freezes nothing while commits are lost. */
export async function termsUnlessLost<Options extends AgreementOptions>(
  ledger: Pick<Ledger, 'audit'>,
  { what }: Pick<AgreementNews, 'what'>,
  options: Options,
): Promise<Options> {
  if (what !== 'ended' || options.freeze === false || (await openLoss(ledger)) === undefined) return options
  return { ...options, freeze: false }
}
