import { configurationError, show } from '../../check.ts'
import { closest } from '../../closest-word.ts'
import type { Finding } from './finding.ts'

/** A dimension of the product's listing at AWS Marketplace. */
export interface ListedDimension {
  readonly name: string
  /** `ExternallyMetered`, `Entitled`, … Empty where it is not known. */
  readonly types: readonly string[]
}

/** What a listing is read from. */
export const LISTING_EXPECTED =
  'what "aws marketplace-catalog describe-entity" prints of a product, a JSON list of dimensions\' API names, or a name on ' +
  'each line'

/**
 * The dimensions of a listing: `DescribeEntity` of AWS Marketplace Catalog has them in `DetailsDocument`, or in the JSON
 * text `Details`, as `Dimensions` with `Key` and `Types`.
 *
 * https://docs.aws.amazon.com/marketplace/latest/APIReference/work-with-saas-products.html
 *
 * @throws ConfigurationError where there are none
 */
export function parseListing(text: string): ListedDimension[] {
  const listed = dimensionsIn(parsed(text))
  if (listed.length === 0) throw configurationError([`listing: expected ${LISTING_EXPECTED}, got no dimension in it`])
  return listed
}

/** A file of names is no JSON. */
function parsed(text: string): unknown {
  const content = text.replace(/^\uFEFF/, '').trim()
  try {
    return JSON.parse(content)
  } catch (error) {
    if (/^[[{"]/.test(content)) {
      throw configurationError([`listing: expected ${LISTING_EXPECTED}, got JSON that ends or breaks: ${error}`])
    }
    return content.split(/\r?\n/).map(line => line.trim())
  }
}

/** Wherever they are: the answer's own members have changed over the years. */
function dimensionsIn(value: unknown): ListedDimension[] {
  if (Array.isArray(value)) return value.flatMap(one => dimensionOf(one) ?? [])
  if (typeof value !== 'object' || value === null) return []
  const { Dimensions, DetailsDocument, Details } = value as Record<string, unknown>
  if (Array.isArray(Dimensions)) return dimensionsIn(Dimensions)
  const inside = [DetailsDocument, typeof Details === 'string' ? parsed(Details) : Details]
  return inside.map(dimensionsIn).find(found => found.length > 0) ?? []
}

function dimensionOf(value: unknown): ListedDimension | undefined {
  if (typeof value === 'string') return value === '' ? undefined : { name: value, types: [] }
  const { Key, Types } = Object(value) as { Key?: unknown; Types?: unknown }
  if (typeof Key !== 'string' || Key === '') return undefined
  return { name: Key, types: Array.isArray(Types) ? Types.filter(type => typeof type === 'string') : [] }
}

/** Whether what is metered is sold: one finding, by the gravest. */
export function listingFinding(listed: readonly ListedDimension[], metered: readonly string[]): Finding {
  const name = 'listing'
  const names = listed.map(dimension => dimension.name)
  const missing = metered.filter(one => !names.includes(one))
  if (missing.length > 0) {
    const each = missing.map(one => {
      const meant = closest(one, names)
      return `${show(one)}${meant === undefined ? '' : ` (did you mean ${show(meant)}?)`}`
    })
    return {
      name,
      state: 'fault',
      message: `The listing has no dimension ${each.join(', ')}: AWS refuses its records (InvalidUsageDimensionException).`,
      advice: `Dimensions are metered under their API names; the listing has ${names.map(one => show(one)).join(', ')}.`,
    }
  }
  // A contract's dimension is paid in advance, and takes no usage.
  const entitled = listed.filter(
    ({ name, types }) => metered.includes(name) && types.every(isEntitled) && types.length > 0,
  )
  if (entitled.length > 0) {
    return {
      name,
      state: 'warning',
      message: `The listing sells ${entitled.map(one => show(one.name)).join(', ')} by contract only, which is not metered.`,
      advice: 'Meter a dimension of the type ExternallyMetered.',
    }
  }
  const others = names.filter(one => !metered.includes(one))
  const rest =
    others.length === 0 ? '' : ` Of what it has, ${others.map(one => show(one)).join(', ')} is not metered here.`
  return { name, state: 'ok', message: `The listing has every dimension that is metered.${rest}` }
}

const isEntitled = (type: string) => type === 'Entitled'
