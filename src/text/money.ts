/** Sums of money, exact: AWS's prices and adjustments have at most eight decimals, so that one counts hundred-millionths. */

const DECIMALS = 8

/** `12.5` as 1250000000n. */
export const PRICE = /^(0|[1-9]\d{0,11})(?:\.(\d{1,8}))?$/

/** @throws TypeError where the text is none that `PRICE` matches */
export function parseMoney(text: string): bigint {
  const [, whole, fraction = ''] = PRICE.exec(text) ?? []
  if (whole === undefined) throw new TypeError(`Expected a price such as 0.00002, got ${JSON.stringify(text)}`)
  return BigInt(whole + fraction.padEnd(DECIMALS, '0'))
}

/** Exactly, with two decimals or as many more as it has: `12.50`, `0.00002`. */
export function moneyText(amount: bigint): string {
  const digits = (amount < 0n ? -amount : amount).toString().padStart(DECIMALS + 1, '0')
  const fraction = digits.slice(-DECIMALS).replace(/0{1,6}$/, '')
  return `${amount < 0n ? '-' : ''}${digits.slice(0, -DECIMALS)}.${fraction}`
}
