import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiagLogLevel, diag } from '@opentelemetry/api'
import { Reporter } from '../../src/metering/reporter.ts'

test('what no event is in is told once an hour, and each that goes to the dead-letter queue', t => {
  const told: string[] = []
  const note = (message: string) => told.push(message)
  const logger = { error: note, warn: note, info: note, debug: () => {}, verbose: () => {} }
  diag.setLogger(logger, { logLevel: DiagLogLevel.INFO, suppressOverrideMessage: true })
  t.after(() => diag.disable())
  const reporter = new Reporter(undefined, () => 0, {})
  for (const attempt of [1, 2, 3]) {
    for (const messageId of ['one', 'two']) {
      const message = `${messageId} received ${attempt} times.`
      reporter.agreement({ level: 'error', type: 'unreadable', message, messageId, isLast: attempt === 3 })
    }
  }
  reporter.end()
  assert.deepEqual(told, ['one received 1 times.', 'one received 3 times.', 'two received 3 times.'])
})
