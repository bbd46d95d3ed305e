import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startSimulator } from '../../src/simulator/index.ts'
import { blocksOf } from './documents.ts'

const HOUR = 3_600_000
/** In the middle of an hour and of a month, whenever this runs: an hour is closed some minutes after its end. */
const BEGIN = Date.UTC(2026, 10, 21, 10, 30)

/** The README's first sample, word for word: an application, in TypeScript and in JavaScript. */
export const FIRST_SAMPLE = blocksOf('README.md').find(({ language }) => language === 'ts')?.text ?? ''

const CUSTOMER = ['123456789012', 'arn:aws:license-manager::294406891311:license:l-0123456789abcdef']

export interface Start {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
}

/**
 * Starts the sample again and again, an hour apart, has each but the last answer one request, and ends it with SIGTERM.
 * What AWS has billed then is what was requested, to the unit. Only the environment is set.
 */
export async function billsAcrossStarts(starts: readonly Start[]): Promise<void> {
  const begun = BEGIN - Date.now()
  let ahead = begun
  const now = () => Date.now() + ahead
  const aws = await startSimulator({ now, wallClock: now })
  const collector = createServer((request, response) => request.resume().on('end', () => response.end()))
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  try {
    for (const [index, { command, args, cwd, env }] of starts.entries()) {
      ahead = begun + index * HOUR
      const around = new URL('around.ts', import.meta.url).href
      const app = spawn(command, args, {
        ...{ cwd, stdio: ['ignore', 'inherit', 'pipe', 'ipc'] },
        env: {
          ...(env ?? process.env),
          NODE_OPTIONS: `${env?.NODE_OPTIONS ?? ''} --import ${around}`,
          ...{ CLOCK_AHEAD: String(ahead), PORT: '0' },
          AWS_ENDPOINT_URL_MARKETPLACE_METERING: aws.url,
          ...{ AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any', AWS_REGION: 'us-east-1' },
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
        },
      })
      let said = ''
      app.stderr?.setEncoding('utf8').on('data', text => {
        said += text
      })
      const exited = once(app, 'exit')
      const listening = once(app, 'message') as Promise<[AddressInfo]>
      await Promise.race([listening, exited.then(() => assert.fail(`${command} ${args.join(' ')}: ${said}`))])
      const [{ port }] = await listening
      if (index < starts.length - 1) {
        assert.equal(await (await fetch(`http://127.0.0.1:${port}`)).text(), 'an answer')
      }
      app.kill('SIGTERM')
      assert.deepEqual([...(await exited), withoutNotices(said)], [0, null, ''])
    }
    const billed = aws.simulator.totals().map(({ accountId, licenseArn, dimension, quantity }) => {
      return [accountId, licenseArn, dimension, quantity]
    })
    const requests = starts.length - 1
    assert.deepEqual(billed.sort(), [
      [...CUSTOMER, 'inference-requests', requests],
      [...CUSTOMER, 'tokens-processed', 290 * requests],
    ])
  } finally {
    collector.close()
    await aws.close()
  }
}

/** What Node itself says of what is experimental in its older lines. */
const withoutNotices = (stderr: string) =>
  stderr.replace(/^.*ExperimentalWarning: .*\n|^\(Use `.*--trace-warnings .*\n/gm, '')
