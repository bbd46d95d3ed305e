import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const APP = fileURLToPath(new URL('app.ts', import.meta.url))

/** The inference server's process. */
export class AppProcess {
  readonly url: string
  readonly #child: ChildProcess
  readonly #output: () => string
  /** When the newest usage that the ledger has acknowledged was collected, by the machine's clock. */
  acknowledgedAt = 0

  private constructor(child: ChildProcess, port: string, output: () => string) {
    this.#child = child
    this.#output = output
    this.url = `http://127.0.0.1:${port}`
    child.on('message', (message: { acknowledged: number }) => {
      this.acknowledgedAt = message.acknowledged
    })
  }

  /** Starts it, and resolves when it listens. */
  static async start(env: Record<string, string>, time: number): Promise<AppProcess> {
    const child = fork(APP, { env: { ...process.env, ...env, VIRTUAL_TIME: String(time) }, silent: true })
    let output = ''
    const listening = new Promise<string>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', chunk => {
          output += chunk
          const [, port] = /Listening on port (\d+)/.exec(output) ?? []
          if (port !== undefined) resolve(port)
        })
      }
      child.once('exit', code => reject(new Error(`The inference server ended with ${code}:\n${output}`)))
    })
    return new AppProcess(child, await listening, () => output)
  }

  /** What it printed. */
  get output(): string {
    return this.#output()
  }

  tell(time: number): void {
    if (this.#child.connected) this.#child.send({ time })
  }

  /** Lets it finish, and fails if it does not do so well. */
  async stop(): Promise<void> {
    const [code] = await this.#end('SIGTERM')
    if (code !== 0) throw new Error(`The inference server ended with ${code}:\n${this.output}`)
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<unknown[]> {
    if (this.#child.exitCode !== null) return [this.#child.exitCode]
    const exit = once(this.#child, 'exit')
    this.#child.kill(signal)
    return exit
  }
}
