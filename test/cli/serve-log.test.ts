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

test('what others name neither steers a terminal nor makes a line of its own, and is cut', () => {
  const evil = 'x\u001b[2K\r2026-11-28T00:00:00.000Z error Record 7\u009b31m\u202egnp\u200b\ufeff\u061c\u2028end\nFAKE'
  for (const format of ['text', 'json'] as const) {
    const lines: string[] = []
    logDiag({ level: 'info', format, write: line => lines.push(line), now: () => NOW })
    diag.warn(`Two sources: ${evil}`, new Error(evil))
    // As long as a request may be: the time for it grows with its length, and no faster.
    for (const one of [' ', '\n', ' \n', '\u202e', '1', ':']) diag.warn(one.repeat(1_000_000))
    diag.disable()
    assert.equal(lines.length, 7)
    for (const line of lines) {
      assert.match(line, /^[^\p{C}\p{Default_Ignorable_Code_Point}\u2028]*\n$/u)
      assert.ok(line.length < 15_000, `${line.length}`)
    }
    const message = format === 'json' ? JSON.parse(lines[0] as string).message : undefined
    assert.equal(message, format === 'json' ? `Two sources: ${evil} ${evil}` : undefined)
  }
})

test('levels as OpenTelemetry names them', () => {
  const names = [undefined, '', 'DEBUG', 'info', 'Warn', 'error', 'verbose', 'ALL', 'none', 'loud', 'toString']
  assert.deepEqual(
    names.map(name => logLevelOf(name)),
    [...['info', 'info', 'debug', 'info', 'warn', 'error', 'debug', 'debug', 'error', 'info', 'info']],
  )
})
