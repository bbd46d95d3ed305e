import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { HOUR } from '../../src/ledger/hours.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { freePort } from '../free-port.ts'
import type { Project } from '../package/project.ts'

/** In the middle of an hour and of a month, whenever this runs. */
const BEGIN = Date.UTC(2026, 10, 21, 10, 30)
/** How long an application may take until it answers, and until it has ended, in milliseconds. */
const PATIENCE = 60_000

/** Exit statuses, and signals, of what has ended because of SIGTERM. */
const ENDED = new Set(['[0,null]', '[143,null]', '[null,"SIGTERM"]'])

/** The API keys of the recipes' customers, who pays for each, and how many requests it sends. */
const CUSTOMERS = [
  { key: 'acme', payer: '123456789012 l-0123456789abcdef', requests: 23 },
  { key: 'globex', payer: '210987654321 l-fedcba9876543210', requests: 14 },
] as const
/** Of one request. */
const TOKENS = 290

/** Units by account, licence and dimension. */
export type Bill = Readonly<Record<string, number>>

export interface Outcome {
  readonly sent: Bill
  readonly billed: Bill
}

/** What the requests of each customer come to, where they are sent so many times. */
export const sentTimes = (times: number): Bill =>
  Object.fromEntries(
    CUSTOMERS.flatMap(({ payer, requests }) => [
      [`${payer} inference-requests`, requests * times],
      [`${payer} tokens-processed`, requests * times * TOKENS],
    ]),
  )

/** The API key of each request, one customer's after the other's. */
export const KEYS: readonly string[] = CUSTOMERS.flatMap(({ key, requests }) => Array<string>(requests).fill(key))

/** AWS, and a clock that is the same for it and for what is started. */
export class World implements AsyncDisposable {
  readonly #aws: Awaited<ReturnType<typeof startSimulator>>
  readonly #clock: { ahead: number }

  private constructor(aws: Awaited<ReturnType<typeof startSimulator>>, clock: { ahead: number }) {
    this.#aws = aws
    this.#clock = clock
  }

  static async begin(): Promise<World> {
    const clock = { ahead: BEGIN - Date.now() }
    const now = () => Date.now() + clock.ahead
    return new World(await startSimulator({ now, wallClock: now }), clock)
  }

  get ahead(): number {
    return this.#clock.ahead
  }

  /** What is started from now on is an hour later. */
  anHourLater(): void {
    this.#clock.ahead += HOUR
  }

  /** What a process has around it. */
  get env(): NodeJS.ProcessEnv {
    return {
      NODE_OPTIONS: `--import ${new URL('../readme/around.ts', import.meta.url).href}`,
      CLOCK_AHEAD: String(this.#clock.ahead),
      AWS_ENDPOINT_URL_MARKETPLACE_METERING: this.#aws.url,
      AWS_REGION: 'us-east-1',
    }
  }

  get billed(): Bill {
    return Object.fromEntries(
      this.#aws.simulator
        .totals()
        .map(({ accountId, licenseArn, dimension, quantity }) => [
          `${accountId} ${licenseArn?.split(':').at(-1)} ${dimension}`,
          quantity,
        ]),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#aws.close()
  }
}

/** An application that answers HTTP, until it is ended. */
export class Application implements AsyncDisposable {
  readonly url: string
  readonly #process: ChildProcess
  readonly #exit: Promise<unknown[]>

  private constructor(process: ChildProcess, url: string) {
    this.#process = process
    this.#exit = once(process, 'exit')
    this.url = url
  }

  /** Starts a command, and waits until it answers. */
  static async start(project: Project, command: string, env: NodeJS.ProcessEnv): Promise<Application> {
    const port = await freePort()
    const child = spawn('sh', ['-c', `exec ${command}`], {
      cwd: project.folder,
      env: { ...project.env, ...env, PORT: String(port) },
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    })
    const application = new Application(child, `http://127.0.0.1:${port}/answer`)
    try {
      await application.answers()
      return application
    } catch (error) {
      await application[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Waits until it answers, to a request of nobody's, what is expected. */
  async answers(text?: string): Promise<void> {
    const deadline = performance.now() + PATIENCE
    for (;;) {
      const answer = await this.ask()
      if (answer !== undefined && (text === undefined || answer.text === text)) return
      assert.ok(this.#process.exitCode === null && this.#process.signalCode === null, 'it has ended before it answered')
      assert.ok(performance.now() < deadline, `it does not answer at ${this.url}`)
      await sleep(50)
    }
  }

  async ask(key?: string): Promise<{ readonly status: number; readonly text: string } | undefined> {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
    try {
      const response = await fetch(this.url, { headers })
      return { status: response.status, text: await response.text() }
    } catch {
      return undefined
    }
  }

  /** Sends what the customers send, several at once, and who is none. */
  async serve(): Promise<void> {
    const answers = await Promise.all(KEYS.map(key => this.ask(key)))
    assert.deepEqual(new Set(answers.map(answer => answer?.status)), new Set([200]))
    assert.equal((await this.ask('nobody'))?.status, 401)
  }

  /** As whatever runs it does: SIGTERM to the process that was started, and no other. */
  async end(): Promise<void> {
    this.#process.kill('SIGTERM')
    const exit = await Promise.race([this.#exit, sleep(PATIENCE, undefined, { ref: false })])
    assert.ok(exit !== undefined, 'it does not end')
    // As one that has ended by itself, or by the signal; the bill tells whether it did what it had to before.
    assert.ok(ENDED.has(JSON.stringify(exit)), `it ends with ${exit}`)
    assert.equal(await this.ask(), undefined, 'it has ended, and a process of it still answers')
  }

  /** Nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      process.kill(-(this.#process.pid as number), 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
    await this.#exit
  }
}

/**
 * Starts an application, sends requests, ends it, and starts and ends it again an hour later: what is billed then is what
 * was sent.
 */
export async function billsWhatIsSent(
  project: Project,
  command: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  await using world = await World.begin()
  for (const serves of [true, false]) {
    await using application = await Application.start(project, command, { ...world.env, ...env })
    if (serves) await application.serve()
    await application.end()
    world.anHourLater()
  }
  return { sent: sentTimes(1), billed: world.billed }
}
