import { Agent, request } from 'node:http'
import { type Child, startChild } from './child.ts'
import { requestOf } from './gateway-points.ts'
import type { Answer, Question } from './gateway-worker.ts'

const WORKER = new URL('./gateway-worker.ts', import.meta.url)
const TYPES = { protobuf: 'application/x-protobuf', json: 'application/json' }

/** A gateway in a process of its own, and the connections to it. */
export interface GatewayProcess extends AsyncDisposable {
  ask(question: Question): Promise<Answer>
  /** Sends a request, at once again where it is told to come back; returns the milliseconds until it was taken. */
  send(body: Uint8Array, format?: 'protobuf' | 'json'): Promise<number>
}

/** @param args the worker's: a core, and the ledger's address */
export async function startGateway(...args: readonly string[]): Promise<GatewayProcess> {
  const worker: Child<Question, Answer> = startChild(WORKER, args)
  const url = `http://${await worker.ask({ what: 'address' })}/v1/metrics`
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  return {
    ask: question => worker.ask(question),
    async send(body, format = 'protobuf') {
      const begun = performance.now()
      while (!(await isTaken(url, agent, body, TYPES[format]))) {}
      return performance.now() - begun
    },
    async [Symbol.asyncDispose]() {
      agent.destroy()
      await worker[Symbol.asyncDispose]()
    },
  }
}

function isTaken(url: string, agent: Agent, body: Uint8Array, type: string): Promise<boolean> {
  const headers = { 'content-type': type, 'content-length': body.length }
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers, agent }, response => {
      const { statusCode } = response
      response.resume().once('end', () => {
        if (statusCode === 200 || statusCode === 503) resolve(statusCode === 200)
        else reject(new Error(`the gateway answered with ${statusCode}`))
      })
    })
    sent.once('error', reject).end(body)
  })
}

/** How many senders there are, each with so many points in a request. */
export const SENDERS = 20
export const SMALL = 200

/** The requests of rounds of exports, of one sender after the other. They are made before anything is measured. */
export function requestsOf(firstRound: number, rounds: number): Buffer[] {
  return Array.from({ length: rounds * SENDERS }, (_, index) =>
    requestOf({ points: SMALL, round: firstRound + Math.floor(index / SENDERS), sender: index % SENDERS }),
  )
}

/** How many requests a second are answered, where each sender sends the next once it has its answer. */
export async function mostOf(gateways: readonly GatewayProcess[], requests: readonly Buffer[]): Promise<number> {
  const begun = performance.now()
  await Promise.all(
    Array.from({ length: SENDERS }, async (_, sender) => {
      const gateway = gateways[sender % gateways.length] as GatewayProcess
      for (let next = sender; next < requests.length; next += SENDERS) await gateway.send(requests[next] as Buffer)
    }),
  )
  return (requests.length / (performance.now() - begun)) * 1000
}
