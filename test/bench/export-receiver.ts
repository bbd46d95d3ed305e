import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerWith } from './child.ts'

/** An OTLP receiver that throws away what it gets. */
const server = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end())
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))

answerWith<'url', string>(() => `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/metrics`)
