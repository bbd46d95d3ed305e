import { createSecureContext } from 'node:tls'
import * as v from 'valibot'
import { strictObject } from '../../check.ts'
import { ConfigurationError } from '../../errors.ts'
import { RequestBudget } from './budget.ts'
import { FailedAttempts } from './failed-attempts.ts'
import type { TlsOptions } from './options.ts'
import type { Refused } from './refusal.ts'
import { Senders } from './senders.ts'
import type { MetricsSink } from './sink.ts'

const MEBIBYTE = 1024 * 1024

/** @internal */
export const func = <Type>(expected: string) => v.custom<Type>(value => typeof value === 'function', expected)
/** @internal */
export const integer = (least: number, most: number) =>
  v.pipe(
    v.number(),
    v.check(value => Number.isInteger(value) && value >= least && value <= most, `an integer from ${least} to ${most}`),
  )
const pem = v.custom<string | Buffer>(value => typeof value === 'string' || Buffer.isBuffer(value), 'text in PEM')

/**
 * The schema's entries of `ReceiverOptions`, for a receiver with this port of its own.
 *
 * @internal
 */
export const receiverEntries = (port: number) => ({
  sink: v.custom<MetricsSink>(
    value => typeof (value as MetricsSink)?.wants === 'function' && typeof (value as MetricsSink).accept === 'function',
    'a sink with wants(metricName) and accept(request)',
  ),
  onError: func<(error: unknown) => void>('a function that is told of errors'),
  onRefused: v.optional(func<(refused: Refused) => void>('a function that is told of refusals'), () => () => {}),
  host: v.optional(v.pipe(v.string(), v.nonEmpty()), '127.0.0.1'),
  port: v.optional(integer(0, 65_535), port),
  senders: v.optional(v.instance(Senders), () => new Senders()),
  tls: v.optional(strictObject({ cert: pem, key: pem, ca: v.optional(pem) })),
  maxBodyBytes: v.optional(integer(1, 256 * MEBIBYTE), 20 * MEBIBYTE),
  budget: v.optional(v.instance(RequestBudget), () => new RequestBudget()),
  failedAttempts: v.optional(v.instance(FailedAttempts), () => new FailedAttempts()),
  maxConnections: v.optional(integer(1, 1_000_000), 4_000),
  maxConnectionsPerAddress: v.optional(integer(1, 1_000_000), 1_000),
  requestTimeout: v.optional(integer(10, 600_000), 30_000),
})

/** @throws {ConfigurationError} for what is no certificate with its key */
export function checkTls(tls: TlsOptions | undefined): void {
  if (tls === undefined) return
  try {
    createSecureContext(tls)
  } catch (cause) {
    const problem = `tls: expected a certificate and its key in PEM, got what is not: ${(cause as Error).message}`
    throw new ConfigurationError(`Invalid options: ${problem}`, { cause })
  }
}
