import { REFERENCE } from '../../gateway/config/secrets.ts'
import { type Address, hostAndPort } from '../../gateway/config/values.ts'
import { type GatewayConfig, senderName, type TokenEntry } from '../../gateway/config.ts'
import { ledgerName } from '../../ledger/open.ts'
import { printable } from '../../text/printable.ts'
import { quantityScale, soldAmount } from '../../text/quantity.ts'
import { indented } from '../../text/table.ts'
import { formatAmount } from '../../usage/amount.ts'
import { customerSources } from '../../usage/customer.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { type AttributeSource, productName } from '../../usage/options.ts'
import { type CompiledRule, compileRules, type IncludedRule, type Rules, type TagSource } from '../../usage/rules.ts'
import type { Check } from '../json.ts'

/** What a configuration comes to, for a person: what is metered, for whom, from where, and where it is kept. */
export function configText(config: GatewayConfig): string {
  const { usage, region, metering } = config
  const rules = compileRules(usage.dimensions)
  const rows: [string, string[]][] = [
    ['Product', [`${productName(usage)} in ${region}${metering.dryRun ? ', dry run' : ''}`]],
    ['Dimensions', rules.dimensions.flatMap(dimension => dimensionText(dimension, rules))],
    ['Customer', Object.entries(customerSources(usage)).map(([name, source]) => `${name}: ${sourceText(source)}`)],
    ['Listens', listenText(config.listen)],
    ['Ledger', [ledgerText(config)]],
    ...(config.events === undefined ? [] : [['Events', [printable(config.events.queue)]] as [string, string[]]]),
  ]
  return rows.map(([name, lines]) => `${name.padEnd(12)}${lines.join(`\n${' '.repeat(12)}`)}`).join('\n')
}

function rulesOf({ feeds }: Rules, { name }: Dimension): CompiledRule[] {
  const all = [...feeds.values()].flat().filter(({ dimension }) => dimension.dimension.name === name)
  return [...new Set(all.flatMap(({ rules }) => rules))]
}

function tagsOf({ feeds }: Rules, { name }: Dimension): readonly TagSource[] {
  const all = [...feeds.values()].flat()
  return all.find(({ dimension }) => dimension.dimension.name === name)?.dimension.allocations ?? []
}

function dimensionText(dimension: Dimension, rules: Rules): string[] {
  const { unit } = quantityScale(dimension)
  const above = (what: string, quantity: number | undefined) =>
    quantity === undefined ? '' : `, ${what} above ${quantity.toLocaleString('en-US')}`
  const guards = above('told', dimension.alertQuantity) + above('held', dimension.maxQuantity)
  const tags = tagsOf(rules, dimension).map(({ tag, attribute }) =>
    printable(tag === attribute ? tag : `${tag} (attribute ${attribute})`),
  )
  const contract = includedText(rules.included.get(dimension.name), dimension)
  return [
    `${printable(dimension.name)}: ${printable(unit)}${guards}`,
    ...rulesOf(rules, dimension).map(rule => indented(ruleText(rule))),
    ...(contract === undefined ? [] : [indented(contract)]),
    ...(tags.length === 0 ? [] : [indented(`bill split by ${tags.join(', ')}`)]),
  ]
}

/** What contracts include of it. */
function includedText(included: IncludedRule | null | undefined, dimension: Dimension): string | undefined {
  if (included === undefined) return undefined
  if (included === null) return 'contracts include nothing of it'
  const { per, entitlement, quantity, size } = included
  const what =
    entitlement === undefined
      ? (quantity as number).toLocaleString('en-US')
      : `AWS's ${printable(entitlement)} (of ${soldAmount(size, dimension)} each)`
  return `contracts include ${what} ${per === 'term' ? 'a term' : 'a month'}, which is not metered`
}

function ruleText({ label, metrics, conditions, value }: CompiledRule): string {
  const preset = label.startsWith("'") ? `${label.slice(1, -1)}: ` : ''
  const attributes = conditions.map(({ key, accepts }) => {
    const values = [...accepts].map(one => (one === undefined ? 'absent' : printable(JSON.stringify(one))))
    return `${printable(key)} ${values.join(' or ')}`
  })
  const where = attributes.length === 0 ? '' : ` where ${attributes.join(', ')}`
  return `${preset}${value} of ${[...metrics].map(name => printable(name)).join(', ')}${where}`
}

function sourceText(source: AttributeSource): string {
  if (typeof source === 'string') return `attribute ${printable(source)} of the point, else of its resource`
  if ('attribute' in source) return `attribute ${printable(source.attribute)} of the point`
  if ('resource' in source) return `attribute ${printable(source.resource)} of the resource`
  return `${printable(source.value)} for all`
}

function listenText({ http, grpc, tls, tokens }: GatewayConfig['listen']): string[] {
  const at = (name: string, address: Address | null) => (address === null ? [] : [`${name} at ${hostAndPort(address)}`])
  const secured =
    tls === undefined ? 'without TLS' : tls.ca === undefined ? 'with TLS' : 'with TLS and certificates of senders'
  const asked =
    tokens === undefined ? 'without tokens' : `with ${tokens.length === 1 ? 'a token' : `${tokens.length} tokens`}`
  const rights = (tokens ?? []).flatMap((entry, index) => rightsText(entry, index))
  return [[...at('HTTP', http), ...at('gRPC', grpc)].join(', '), `${secured}, ${asked}`, ...rights]
}

/** What a sender may do, unless it may do all. */
function rightsText(entry: TokenEntry, index: number): string {
  const name = senderName(entry, index)
  const { customers, dimensions } = typeof entry === 'string' ? {} : entry
  const whom =
    customers === undefined
      ? 'any customer'
      : customers.length === 0
        ? 'nobody, and looks at the page and the metrics'
        : `${customers.length} ${customers.length === 1 ? 'customer' : 'customers'}`
  return `${name} may bill ${whom}${dimensions === undefined ? '' : `, for ${dimensions.join(', ')}`}`
}

const ledgerText = ({ ledger }: GatewayConfig) => (REFERENCE.test(ledger) ? ledger : ledgerName(ledger))

/** The same for a program. Sizes are decimal numbers of base units, as strings. */
export function configJson(config: GatewayConfig): Omit<Check, 'file' | 'missing' | 'payload'> {
  const { usage, region, listen, metering } = config
  const rules = compileRules(usage.dimensions)
  const { http, grpc, tls, tokens = [] } = listen
  return {
    ...(usage.productCode !== undefined && { productCode: usage.productCode }),
    ...(usage.product !== undefined && { product: usage.product }),
    region,
    dryRun: metering.dryRun ?? false,
    dimensions: rules.dimensions.map(dimension => ({
      ...{ name: dimension.name, unit: dimension.unit, baseUnit: dimension.baseUnit },
      size: formatAmount(dimension.size),
      maxQuantity: dimension.maxQuantity ?? null,
      alertQuantity: dimension.alertQuantity ?? null,
      included: includedText(rules.included.get(dimension.name), dimension) ?? null,
      from: rulesOf(rules, dimension).map(({ label, metrics, value }) => ({ label, metrics: [...metrics], value })),
      allocations: tagsOf(rules, dimension),
    })),
    customer: customerSources(usage),
    listen: {
      http: http && hostAndPort(http),
      grpc: grpc && hostAndPort(grpc),
      ...{ tls: tls !== undefined, clientCertificates: tls?.ca !== undefined, tokens: tokens.length },
    },
    ledger: ledgerText(config),
  }
}
