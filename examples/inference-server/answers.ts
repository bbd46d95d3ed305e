import type { ServerResponse } from 'node:http'
import type { Bill } from './bill.ts'
import { EventStream } from './event-stream.ts'
import type { Format } from './formats.ts'
import type { Job } from './job.ts'
import { sendJson } from './send-json.ts'

interface Answer {
  readonly format: Format
  readonly job: Job
  readonly bill: Bill
  readonly head: { readonly id: string; readonly created: number; readonly model: string }
}

/** One answer at the end. A client that does not wait for it gets nothing, and pays nothing. */
export async function sendAnswer(response: ServerResponse, { format, job, bill, head }: Answer): Promise<void> {
  for await (const _ of job.run()) if (response.destroyed) return
  // Recorded before it is told: what a client has seen is surely in the counters.
  const usage = bill.settle()
  const choices = job.completions.map(completion => format.choice(completion))
  const headers = { 'x-compute-time-us': String(usage?.compute_microseconds) }
  sendJson(response, 200, { ...head, object: format.object, choices, usage }, headers)
}

/** An answer token by token. A client that leaves in its middle pays for what was generated up to then. */
export async function streamAnswer(
  response: ServerResponse,
  { format, job, bill, head, includeUsage }: Answer & { readonly includeUsage: boolean },
): Promise<void> {
  if (response.destroyed) return
  response.once('close', () => bill.settle())
  const stream = new EventStream(response)
  const send = (choices: object[], usage: object | null = null) =>
    stream.send({ ...head, object: format.chunkObject, choices, ...(includeUsage && { usage }) })

  const begun = new Set<number>()
  for await (const step of job.run()) {
    if (format.opening && !begun.has(step.index)) {
      begun.add(step.index)
      if (!(await send([format.opening(step.index)]))) return
    }
    if (step.text !== '' && !(await send([format.chunk({ ...step, finishReason: undefined })]))) return
    if (step.finishReason && !(await send([format.chunk({ ...step, text: '' })]))) return
    if (response.destroyed) return
  }
  const usage = bill.settle()
  if (includeUsage && !(await send([], usage))) return
  stream.end()
}
