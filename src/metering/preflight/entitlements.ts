import { ConfigurationError } from '../../errors.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { entitlementRegion } from '../../marketplace/entitlement-client.ts'
import { probeEntitlements } from '../../marketplace/probe.ts'
import { unknownContracts, unknownContractText } from '../unknown-contracts.ts'
import { type Finding, sentence } from './finding.ts'
import { refusalFinding } from './marketplace.ts'

const name = 'entitlements'

/**
 * Whether AWS tells what contracts include: each product is asked for one entitlement, which changes nothing.
 *
 * @param codes AWS's codes of the products
 * @param region where usage is metered
 * @param timeout of each question, in milliseconds
 */
export async function entitlementFindings(
  codes: readonly string[],
  region: string,
  timeout: number,
): Promise<Finding[]> {
  return await Promise.all(codes.map(code => findingOf(code, region, timeout)))
}

/**
 * Of what the ledger does not know what contracts include, though AWS was to be asked: an answer may come and make no
 * sense to whoever meters, which its log says.
 *
 * @param products of the ledger that are looked at
 * @param now milliseconds since the epoch
 */
export async function unknownContractFindings(
  ledger: Pick<Ledger, 'included'>,
  products: readonly string[],
  now: number,
): Promise<Finding[]> {
  const unknown = (await unknownContracts(ledger, now)).filter(({ product }) => products.includes(product))
  return unknown.map(one => ({
    ...{ name, state: 'warning', message: `${unknownContractText(one, now)}.` },
    advice:
      'Mend what AWS refuses. Where it answers, the log of the process that meters says what of the answer it cannot use; ' +
      'it asks again within a quarter of an hour.',
  }))
}

async function findingOf(code: string, region: string, timeout: number): Promise<Finding> {
  try {
    const reply = await probeEntitlements(region, code, timeout)
    const errorName = String((reply.error as { name?: unknown } | undefined)?.name)
    const said = sentence(`AWS said: ${reply.message}`)
    if (reply.error === undefined) {
      const message = `AWS tells what contracts of ${code} include (GetEntitlements, ${entitlementRegion(region)}).`
      return { name, state: 'ok', message }
    }
    if (/^(AccessDenied|NotAuthorized)/.test(errorName)) {
      const message = `AWS knows these credentials, and does not let them read entitlements. ${said}`
      return {
        name,
        state: 'fault',
        message,
        advice: 'Allow the action aws-marketplace:GetEntitlements to their role or user.',
      }
    }
    if (/^InvalidParameter/.test(errorName)) {
      const message = `AWS does not take the product code ${code} for entitlements. ${said}`
      return {
        name,
        state: 'fault',
        message,
        advice:
          'Mend productCode or entitlements.productCode; it is called from the account that published the product.',
      }
    }
    const finding = refusalFinding(name, reply)
    // Of the metering service it says where that is.
    if (!/metering\.marketplace/.test(finding.advice ?? '')) return finding
    const host = `entitlement.marketplace.${entitlementRegion(region)}.amazonaws.com`
    return { ...finding, advice: `Let this machine reach ${host}, port 443; look at proxies, DNS and VPC endpoints.` }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error
    const advice =
      'Install it beside this package, and start again what meters: without it no usage of contracts is metered.'
    return { name, state: 'fault', message: sentence(error.message), advice }
  }
}
