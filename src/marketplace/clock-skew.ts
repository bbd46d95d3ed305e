/** Errors that AWS answers with, among other reasons, when the time of a signature is too far from its own. */
const SKEW_ERRORS = /^(RequestTimeTooSkewed|RequestExpired|RequestInTheFuture|InvalidSignature|SignatureDoesNotMatch)/
/** `Signature expired: 20260610T110000Z is now earlier than 20260610T114500Z (20260610T120000Z - 15 min.)` */
const SAID = /Signature (?:expired|not yet current): [^(]{0,100}\((\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/
/** The least that any AWS service tolerates. */
const TOLERANCE = 5 * 60_000

/**
 * How far this machine's clock is ahead of AWS's, in milliseconds, where that causes an error; negative
 * where it is behind. Undefined where AWS complains of something else, or does not say what time it is.
 *
 * @param signedAt this machine's time in the signature, in milliseconds since the epoch
 * @param date the answer's `Date` header
 */
export function clockSkewOf({ name, message }: Error, signedAt: number, date: string | null): number | undefined {
  if (!SKEW_ERRORS.test(name)) return undefined
  const said = SAID.exec(message)
  const [year, month, day, hour, minute, second] = (said ?? []).slice(1).map(Number)
  const time = said
    ? Date.UTC(year as number, (month as number) - 1, day, hour, minute, second)
    : Date.parse(date ?? '')
  const skew = signedAt - time
  return Number.isFinite(skew) && (said || Math.abs(skew) >= TOLERANCE) ? skew : undefined
}

/** A sentence for the person who can set the clock. */
export function describeSkew(skew: number): string {
  const seconds = Math.round(Math.abs(skew) / 1000)
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ].filter(([count]) => count !== 0)
  return `This machine's clock is ${parts.map(part => part.join(' ')).join(' ')} ${skew > 0 ? 'ahead of' : 'behind'} AWS's: set it.`
}
