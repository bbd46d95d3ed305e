import { configurationError, show, unknownOptions } from '../check.ts'
import { NAME, NAME_EXPECTED, TOKEN, TOKEN_EXPECTED } from './config/values.ts'
import type { TokenSender } from './otlp/senders.ts'

const RIGHTS = ['customers', 'dimensions', 'limits']

/** @throws {ConfigurationError} which shows no token */
export function checkSenders(senders: readonly TokenSender[]): void {
  const problems = senders.flatMap(({ name, token, ...rights }, index) => [
    ...unknownOptions(rights, RIGHTS, `senders.${index}.`),
    ...(['customers', 'dimensions'] as const).flatMap(right =>
      rights[right] === undefined || rights[right] instanceof Set
        ? []
        : [`senders.${index}.${right}: expected a Set, got ${show(rights[right])}`],
    ),
    ...(NAME.test(name) ? [] : [`senders.${index}.name: expected ${NAME_EXPECTED}`]),
    ...(TOKEN.test(token) ? [] : [`senders.${index}.token: expected ${TOKEN_EXPECTED}`]),
    ...(senders.findIndex(other => other.name === name || other.token === token) === index
      ? []
      : [`senders.${index}: expected a name and a token of its own`]),
  ])
  if (senders.length === 0) problems.push('senders: expected at least one')
  if (problems.length > 0) throw configurationError(problems)
}
