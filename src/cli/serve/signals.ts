import { constants } from 'node:os'

type Signal = 'SIGINT' | 'SIGTERM'

/** The signals that ask a process to stop. They end it at once, but for one that is waited for. */
export class Signals {
  #waiting: ((signal: Signal) => void) | undefined

  // Also before there is anything to wait for: the first process of a container ignores what it has no handler for.
  constructor() {
    // Nothing is to be read again before there is a gateway, which is no reason to end.
    process.on('SIGHUP', () => {})
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#received(signal))
  }

  next(): Promise<Signal> {
    return new Promise(resolve => {
      this.#waiting = resolve
    })
  }

  #received(signal: Signal): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) process.exit(128 + constants.signals[signal])
    waiting(signal)
  }
}
