import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diag } from '@opentelemetry/api'
import { type LogOptions, logDiag, logLevelOf } from '../../src/cli/serve/log.ts'

const NOW = Date.parse('2026-11-21T09:40:00Z')

function logged(options: Pick<LogOptions, 'level' | 'format'>): string {
  let text = ''
  const write = (line: string) => {
    text += line
  }
  logDiag({ ...options, write, now: () => NOW })
  diag.error('Refused: 111122223333 has no arn:aws:license-manager::294406891311:license:l-1 today', new Error('why'))
  diag.warn('Exporting', { headers: { authorization: 'hunter2' } }, 'failed', 5)
  diag.info('one\n  two')
  diag.debug('detail')
  diag.verbose('more')
  diag.disable()
  return text
}

test('lines for programs, without customers and objects', () => {
  assert.deepEqual(
    logged({ level: 'info', format: 'json' })
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
    [
      ['error', 'Refused: … has no … today why'],
      ['warn', 'Exporting failed 5'],
      ['info', 'one\n  two'],
    ].map(([level, message]) => ({ time: '2026-11-21T09:40:00.000Z', level, message })),
  )
})

test('lines for persons', () => {
  assert.equal(
    logged({ level: 'debug', format: 'text' }).replace(/^.*egistering a global.*\n|^.*Registered a global.*\n/gm, ''),
    `2026-11-21T09:40:00.000Z error Refused: … has no … today why
2026-11-21T09:40:00.000Z warn  Exporting failed 5
2026-11-21T09:40:00.000Z info  one two
2026-11-21T09:40:00.000Z debug detail
`,
  )
  assert.equal(logged({ level: 'error', format: 'text' }).trim().split('\n').length, 1)
})

test('levels as OpenTelemetry names them', () => {
  const names = [undefined, '', 'DEBUG', 'info', 'Warn', 'error', 'verbose', 'ALL', 'none', 'loud', 'toString']
  assert.deepEqual(
    names.map(name => logLevelOf(name)),
    [...['info', 'info', 'debug', 'info', 'warn', 'error', 'debug', 'debug', 'error', 'info', 'info']],
  )
})
