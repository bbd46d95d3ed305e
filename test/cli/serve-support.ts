import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { folder, MAIN } from './support.ts'

/** What the environment of the tests may have, and a gateway under test must not. */
const CLEAN = { AWS_REGION: '', AWS_DEFAULT_REGION: '', MARKETPLACE_LEDGER: '', OTEL_LOG_LEVEL: '' }
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'simulated', AWS_SECRET_ACCESS_KEY: 'simulated' }

/** `marketplace-meter serve` as a process of its own. */
export class Serving {
  readonly folder: string
  /** What it logged, and printed where it failed. */
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #exit: Promise<number | null>
  #look: () => void = () => {}

  /**
   * @param args what runs instead of the command
   * @param files beside the configuration, by name
   */
  constructor(
    t: Pick<TestContext, 'after'>,
    config: string,
    env: NodeJS.ProcessEnv = {},
    args = [MAIN, 'serve'],
    files: Readonly<Record<string, string>> = {},
  ) {
    this.folder = folder(t)
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.folder, name), text)
    const path = join(this.folder, 'gateway.yaml')
    writeFileSync(path, config)
    this.#child = spawn(process.execPath, [...args, '--config', path], {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { ...process.env, ...CLEAN, ...CREDENTIALS, ...env },
    })
    const { stderr } = this.#child
    assert.ok(stderr)
    createInterface(stderr).on('line', line => {
      this.lines.push(line)
      this.#look()
    })
    this.#exit = once(this.#child, 'close').then(([status, signal]) => {
      this.#look()
      return status ?? signal
    })
    t.after(async () => {
      this.#child.kill('SIGKILL')
      await this.#exit
    })
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** Everything that was logged, as one text. */
  get text(): string {
    return this.lines.join('\n')
  }

  /** Waits for something to be logged. */
  async logged(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.text)
      if (found !== null) return found
      assert.equal(this.#child.exitCode, null, `it ended, and never said ${pattern}:\n${this.text}`)
      await new Promise<void>(resolve => {
        this.#look = resolve
      })
    }
  }

  /** Waits until it listens, and returns where. */
  async ready(): Promise<{ http: string; grpc: string }> {
    await this.logged(/Usage is kept in /)
    const of = (transport: string) => new RegExp(`OTLP over ${transport} at ([^ ]+)\\. `).exec(this.text)?.[1] ?? ''
    return { http: of('HTTP'), grpc: of('gRPC') }
  }

  /** Reads no further what it logs. */
  stopReading(): void {
    this.#child.stderr?.destroy()
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** The exit status. */
  exit(): Promise<number | null> {
    return this.#exit
  }

  async stop(): Promise<number | null> {
    this.kill('SIGTERM')
    return this.exit()
  }
}
