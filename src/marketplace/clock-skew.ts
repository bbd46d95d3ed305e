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

/** From here on a clock is off: far more than a request takes, and less than what makes AWS refuse a signature. */
export const CLOCK_OFF = 60_000

/**
 * How far this machine's clock is ahead of who answered, at least, in milliseconds; negative where it is behind.
 *
 * @param date the answer's `Date` header, in whole seconds
 * @param sentAt this machine's time before the request, in milliseconds since the epoch, and `receivedAt` after it
 * @returns undefined where there is no date
 */
export function clockSkewBetween(
  date: string | null | undefined,
  sentAt: number,
  receivedAt: number,
): number | undefined {
  const second = Date.parse(date ?? '')
  if (Number.isNaN(second)) return undefined
  const [least, most] = [sentAt - (second + 1000), receivedAt - second]
  return least > 0 ? least : Math.min(most, 0)
}

/** A sentence for the person who can set the clock. */
export function describeSkew(skew: number, whose = "AWS's"): string {
  const seconds = Math.round(Math.abs(skew) / 1000)
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ].filter(([count]) => count !== 0)
  return `This machine's clock is ${parts.map(part => part.join(' ')).join(' ')} ${skew > 0 ? 'ahead of' : 'behind'} ${whose}: set it.`
}
