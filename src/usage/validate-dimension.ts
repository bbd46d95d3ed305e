import { show } from '../check.ts'
import { ConfigurationError } from '../errors.ts'
import { INFERENCE_DIMENSIONS } from './instruments.ts'

/**
 * Checks that a name is that of a dimension.
 *
 * @param known the names that there are: the three of our own by default, else `Object.keys(options.dimensions)`
 * @throws {ConfigurationError} which says what came and what is known
 */
export function validateDimension(name: unknown, known: Iterable<string> = INFERENCE_DIMENSIONS): void {
  const names = [...known]
  if (typeof name === 'string' && names.includes(name)) return
  throw new ConfigurationError(`Expected a dimension (${names.join(', ') || 'there are none'}), got ${show(name)}.`)
}
