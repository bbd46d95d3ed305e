import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Serving } from '../cli/serve-support.ts'
import type { Kind, Target } from './kinds.ts'
import type { Place } from './places.ts'

/** Whom the good sender sends usage of. */
export const GOOD_CUSTOMER = '111122223333'

const GOOD = 'token-of-the-good-sender'
const BAD = 'token-of-the-bad-sender'

const configOf = (ledger: string) => `productCode: prod
region: us-east-1
ledger: ${JSON.stringify(ledger)}
dimensions:
  tokens: { unit: '{token}', from: { metric: my.tokens } }
customer: { accountId: account }
listen:
  http: 127.0.0.1:0
  grpc: 127.0.0.1:0
  tokens:
    - { name: good, token: '\${env:GOOD}', customers: ['${GOOD_CUSTOMER}'] }
    - name: bad
      token: \${env:BAD}
      customers: [${Array.from({ length: 800 }, (_, index) => `'${500_000_000_000 + index}'`).join(', ')}]
      limits: { customersPerDay: 500, seriesPerDay: 20000 }
metering: { dryRun: true }
telemetry: { logFormat: text }
`

/** What a good sender saw while others did harm. */
export interface Course {
  /** How long each of its requests took to be answered, retries included, in milliseconds. */
  readonly answers: readonly number[]
}

const ENDLESS = 4000
const ENDLESS_WHERE_DEAR = 1000

/** A gateway as a process of its own, with a sender that counts what it sends, and room for bad ones. */
export class Stage {
  readonly #serving: Serving
  readonly #target: Target
  readonly #pid: number
  readonly #begun = Date.now()
  /** All that the good sender has used. */
  used = 0

  private constructor(serving: Serving, target: Target) {
    this.#serving = serving
    this.#target = target
    this.#pid = serving.pid
  }

  static async open(t: Pick<TestContext, 'after'>, { address, env, dear }: Place): Promise<Stage> {
    const serving = new Serving(t, configOf(address), { ...env, GOOD, BAD })
    const { http, grpc } = await serving.ready()
    const stage = new Stage(serving, { http, grpc, token: BAD, endless: dear ? ENDLESS_WHERE_DEAR : ENDLESS })
    // A ledger's own clock may say that metering began a moment after the counter did: what it had by then is nothing.
    await stage.#send(0)
    return stage
  }

  /**
   * The good sender sends while a bad one does what it does, and for a number of requests at least.
   *
   * @param pause of the good sender, between two requests, in milliseconds
   */
  async beside(kind: Pick<Kind, 'attack'>, least: number, pause = 0): Promise<Course> {
    const answers: number[] = []
    let attacking = true
    const attack = kind.attack(this.#target).finally(() => {
      attacking = false
    })
    while (attacking || answers.length < least) {
      const begun = performance.now()
      await this.#send(1 + (this.used % 7))
      answers.push(performance.now() - begun)
      if (pause > 0) await sleep(pause)
    }
    await attack
    return { answers }
  }

  /** A point of a cumulative counter, until the gateway has it: as exporters do, which come back after a 503. */
  async #send(more: number): Promise<void> {
    this.used += more
    const body = JSON.stringify({
      resourceMetrics: [
        {
          resource: { attributes: [{ key: 'service.instance.id', value: { stringValue: 'good' } }] },
          scopeMetrics: [{ scope: { name: 'good' }, metrics: [metricOf(this.#begun, this.used)] }],
        },
      ],
    })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${GOOD}` }
    for (;;) {
      const response = await fetch(`http://${this.#target.http}/v1/metrics`, { method: 'POST', headers, body })
      const answer = await response.text()
      if (response.status === 200 && answer === '{}') return
      if (response.status !== 503) throw new Error(`the good sender was answered ${response.status} ${answer}`)
      await sleep(10)
    }
  }

  /** What was logged. */
  get log(): string {
    return this.#serving.text
  }

  logged(pattern: RegExp): Promise<unknown> {
    return this.#serving.logged(pattern)
  }

  /** The most memory that the gateway had at a time, in bytes. */
  get peak(): number {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'))?.[1]) * 1024
  }

  /** What an answer to `/metrics` says. */
  async metrics(): Promise<string> {
    const headers = { authorization: `Bearer ${GOOD}` }
    return (await fetch(`http://${this.#target.http}/metrics`, { headers })).text()
  }

  /** The exit status. */
  close(): Promise<number | null> {
    return this.#serving.stop()
  }
}

function metricOf(begun: number, used: number): object {
  const attributes = [{ key: 'account', value: { stringValue: GOOD_CUSTOMER } }]
  const times = { startTimeUnixNano: `${begun}000000`, timeUnixNano: `${Date.now()}000000` }
  return {
    ...{ name: 'my.tokens', unit: '{token}' },
    sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: [{ attributes, ...times, asInt: String(used) }] },
  }
}
