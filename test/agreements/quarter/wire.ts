import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { SQS } from '@aws-sdk/client-sqs'
import { type AgreementsOptions, followAgreementEvents, type QueueClient } from '../../../src/agreements/index.ts'
import type { RunningSimulator } from '../../../src/simulator/index.ts'

const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' }

/** The AWS SDK's own clients over sockets, and a follower of the queue that is asked when there is something in it. */
export class Wire implements AsyncDisposable {
  readonly metering: MarketplaceMetering
  readonly #simulator: RunningSimulator
  readonly #sqs: SQS

  constructor(simulator: RunningSimulator) {
    const config = { endpoint: simulator.url, credentials: CREDENTIALS, maxAttempts: 1 }
    this.#simulator = simulator
    this.metering = new MarketplaceMetering({ ...config, region: 'eu-central-1' })
    this.#sqs = new SQS({ ...config, region: 'us-east-1' })
  }

  /** Follows the queue; `settled` when all that has come is handled and deleted. */
  async follow(agreements: AgreementsOptions): Promise<AsyncDisposable & { settled(): Promise<void> }> {
    const { queue } = this.#simulator.simulator
    const gate = new Gate()
    const client: QueueClient = {
      receiveMessage: async (request, options) => {
        await gate.pass(options?.abortSignal)
        // No long poll: the simulator's looks again only now and then.
        return await this.#sqs.receiveMessage({ ...request, WaitTimeSeconds: 0 }, options)
      },
      deleteMessage: request => this.#sqs.deleteMessage(request),
      changeMessageVisibility: request => this.#sqs.changeMessageVisibility(request),
      getQueueAttributes: (request, options) => this.#sqs.getQueueAttributes(request, options),
    }
    const faults: string[] = []
    const consumer = await followAgreementEvents({
      ...agreements,
      queue: this.#simulator.queueUrl,
      client,
      report: ({ level, message }) => level === 'error' && faults.push(message),
    })
    return {
      settled: async () => {
        while (queue.counts().visible > 0) await gate.open()
        if (faults.length > 0) throw new Error(faults.join('\n'))
      },
      [Symbol.asyncDispose]: () => consumer.stop(),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.metering.destroy()
    this.#sqs.destroy()
    await this.#simulator.close()
  }
}

/** Lets one through at a time, and tells when it comes again. */
class Gate {
  #waiting = Promise.withResolvers<() => void>()

  pass(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((pass, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      this.#waiting.resolve(pass)
    })
  }

  async open(): Promise<void> {
    const pass = await this.#waiting.promise
    this.#waiting = Promise.withResolvers()
    pass()
    await this.#waiting.promise
  }
}
