import { startGrpcReceiver } from '../../../src/gateway/otlp/grpc-receiver.ts'
import { startHttpReceiver } from '../../../src/gateway/otlp/http-receiver.ts'
import { RecordingSink } from './support.ts'

/** A process with both receivers. Prints where they listen, and when its input ends what they have got. */
const sink = new RecordingSink()
const options = { sink, onError: (error: unknown) => console.error(String(error)), port: 0, maxConnections: 100_000 }
const http = await startHttpReceiver(options)
const grpc = await startGrpcReceiver(options)
const before = process.memoryUsage().rss
console.log(JSON.stringify({ http: http.port, grpc: grpc.port }))
process.stdin.resume().once('end', async () => {
  const grown = process.memoryUsage().rss - before
  await Promise.all([http, grpc].map(receiver => receiver.close({ deadlineMs: 1000 })))
  console.log(JSON.stringify({ accepted: sink.accepted.length, grown }))
})
