import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'

/** Where a gateway listens, and a token of a sender that nobody should trust. */
export interface Target {
  readonly http: string
  readonly grpc: string
  readonly token: string
  /** How many it sends of what has no end: fewer to a ledger that takes a request for each. */
  readonly endless: number
}

/** A way in which a sender is broken, or means harm. */
export interface Kind {
  readonly name: string
  /** Does it, until the gateway has answered, or has had its time. */
  attack(target: Target): Promise<void>
  /** What an operator finds in the log. */
  readonly told: RegExp
  /** Whether usage of it comes to the ledger: what does not is turned away, whatever the engine. */
  readonly counted?: true
}

type Attributes = Readonly<Record<string, string>>

const now = () => `${Date.now()}000000`
const text = (key: string, stringValue: string) => ({ key, value: { stringValue } })
const attributesOf = (attributes: Attributes) => Object.entries(attributes).map(([key, value]) => text(key, value))

function point(account: string, value: string | number, rest: object = {}, attributes: Attributes = {}) {
  return {
    attributes: attributesOf({ account, ...attributes }),
    ...{ startTimeUnixNano: `${Date.now() - 1000}000000`, timeUnixNano: now() },
    ...(typeof value === 'string' ? { asInt: value } : { asDouble: value }),
    ...rest,
  }
}

const sum = (dataPoints: object[]) => ({
  ...{ name: 'my.tokens', unit: '{token}' },
  sum: { aggregationTemporality: 1, isMonotonic: true, dataPoints },
})

const request = (metrics: object[], resource: Attributes = {}, scope: object = { name: 'bad' }) => ({
  resourceMetrics: [{ resource: { attributes: attributesOf(resource) }, scopeMetrics: [{ scope, metrics }] }],
})

const customer = (index: number) => String(500_000_000_000 + index)
const MANY = 200
/** Unpacked at once, they would be more than twice what a gateway may take. */
const BOMBS = 60
const LONG = 8 * 1024 * 1024

/** Posts JSON, and does not care for the answer. */
async function post({ http, token }: Target, body: object | string, headers: Record<string, string> = {}) {
  const packed = gzipSync(typeof body === 'string' ? body : JSON.stringify(body))
  await fetch(`http://${http}/v1/metrics`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...{ 'content-encoding': 'gzip', authorization: `Bearer ${token}`, ...headers },
    },
    body: packed,
  }).then(
    response => response.arrayBuffer(),
    () => {},
  )
}

const times = (count: number, work: (index: number) => Promise<void>) =>
  Promise.all(Array.from({ length: count }, (_, index) => work(index)))

/** A connection that says this and no more, until the other side ends it or it has had its time. */
async function silent(address: string, said: Buffer | string, milliseconds: number): Promise<void> {
  const socket = open(address)
  socket.write(said)
  await Promise.race([once(socket, 'close'), new Promise(resolve => setTimeout(resolve, milliseconds).unref())])
  socket.destroy()
}

function open(address: string): Socket {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? []
  const socket = connect(Number(port), host)
  socket.on('error', () => {}).resume()
  return socket
}

const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  // Empty settings.
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])

/** A HEADERS frame that begins a call and does not end it. */
function beginning(stream: number): Buffer {
  const literal = (name: string, value: string) =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
  const fields = Buffer.concat([
    ...[literal(':method', 'POST'), literal(':scheme', 'http'), literal(':path', EXPORT), literal(':authority', 'x')],
    ...[literal('content-type', 'application/grpc'), literal('te', 'trailers')],
  ])
  const head = Buffer.alloc(9)
  head.writeUIntBE(fields.length, 0, 3)
  head[3] = 1
  head[4] = 4
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, fields])
}

/** A message of gRPC that says it is packed. */
async function sendPacked({ grpc, token }: Target, packed: Buffer, calls: number): Promise<void> {
  const session = connectHttp2(`http://${grpc}`)
  session.on('error', () => {})
  const frame = Buffer.alloc(5)
  frame[0] = 1
  frame.writeUInt32BE(packed.length, 1)
  const message = Buffer.concat([frame, packed])
  await times(calls, async () => {
    const stream = session.request({
      ...{ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc', te: 'trailers' },
      ...{ 'grpc-encoding': 'gzip', authorization: `Bearer ${token}` },
    })
    stream.on('error', () => {}).resume()
    stream.end(message)
    await once(stream, 'close').catch(() => {})
  })
  session.destroy()
}

let bomb: Buffer<ArrayBuffer> | undefined

/** Fifteen and more, as they were seen or thought of. */
export const KINDS: readonly Kind[] = [
  {
    name: 'times that no clock shows',
    attack: target =>
      post(
        target,
        request([
          sum([
            point(customer(1), '1', { timeUnixNano: '9223372036854775807' }),
            point(customer(1), '2', { startTimeUnixNano: '18446744073709551615' }),
            point(customer(1), '3', { timeUnixNano: `${Date.UTC(2200, 0)}000000` }),
            point(customer(1), '4', { timeUnixNano: '1000' }),
            point(customer(1), '5', { timeUnixNano: '0' }),
          ]),
        ]),
      ),
    told: /Not billed: .*my\.tokens has a point .*clock/,
    counted: true,
  },
  {
    name: 'values that nothing has room for',
    attack: target =>
      post(
        target,
        request([
          sum([
            ...Array.from({ length: 1030 }, (_, index) => point(customer(2), 4.6e12, {}, { index: String(index) })),
            point(customer(2), '9223372036854775807'),
            point(customer(2), -5, {}, { index: 'negative' }),
            point(customer(2), 'NaN', { asInt: undefined, asDouble: 'NaN' }, { index: 'none' }),
            point(customer(2), 1e300, {}, { index: 'endless' }),
          ]),
        ]),
      ),
    told: /Not billed: .*my\.tokens has a point (above|below|that is not)/,
    counted: true,
  },
  {
    name: 'an attribute of 8 MB, and many points',
    attack: target =>
      post(
        target,
        request([sum(Array.from({ length: 20_000 }, (_, i) => point(customer(3), '1', {}, { i: String(i) })))], {
          long: 'x'.repeat(LONG),
        }),
      ),
    told: /Refused: .* of bad over http\b.*attributes/s,
  },
  {
    name: 'an attribute of 8 MB, and many scopes',
    attack: target =>
      post(target, {
        resourceMetrics: [
          {
            resource: { attributes: [text('long', 'x'.repeat(LONG))] },
            scopeMetrics: Array.from({ length: 400 }, (_, version) => ({
              scope: { name: 'same', version: String(version) },
              metrics: [sum([point(customer(3), '1')])],
            })),
          },
        ],
      }),
    told: /Refused: .* of bad over http\b.*attributes/s,
  },
  {
    name: 'scopes without end that write over a terminal',
    attack: target =>
      post(target, {
        resourceMetrics: [
          {
            resource: {},
            scopeMetrics: Array.from({ length: target.endless }, (_, index) => ({
              scope: { name: `\u001b[2J\r\u202e\u2066 all is billed ${index}` },
              metrics: [sum([point(customer(4), '1')])],
            })),
          },
        ],
      }),
    told: /Two sources feed tokens of the same customer/,
    counted: true,
  },
  {
    name: 'bombs over HTTP',
    attack: async target => {
      bomb ??= gzipSync(Buffer.alloc(256 * 1024 * 1024, ' '))
      const body = bomb
      await times(10, async () => {
        await fetch(`http://${target.http}/v1/metrics`, {
          method: 'POST',
          headers: {
            ...{ 'content-type': 'application/json', 'content-encoding': 'gzip' },
            authorization: `Bearer ${target.token}`,
          },
          body,
        }).then(
          response => response.arrayBuffer(),
          () => {},
        )
      })
    },
    told: /Refused: .* of bad over http\b.*at most/s,
  },
  {
    name: 'bombs over gRPC',
    attack: target => sendPacked(target, gzipSync(Buffer.alloc(20 * 1024 * 1024 - 1)), BOMBS),
    told: /Refused: .*over grpc/,
  },
  {
    name: 'streams that never end',
    attack: async ({ grpc }) => {
      const socket = open(grpc)
      socket.write(PREFACE)
      let going = true
      const ended = new Promise<void>(resolve => socket.once('close', resolve)).then(() => {
        going = false
      })
      for (let stream = 1; stream < 60_000 && going; stream += 2) {
        if (socket.write(beginning(stream))) continue
        await Promise.race([new Promise<void>(resolve => socket.once('drain', resolve)), ended])
      }
      socket.destroy()
    },
    told: /Refused: .*over grpc/,
  },
  {
    name: 'connections that say nothing',
    attack: async ({ http, grpc }) => {
      await times(MANY, async index => {
        await silent(index % 2 === 0 ? http : grpc, index % 4 < 2 ? '' : index % 2 === 0 ? 'GET ' : PREFACE, 1500)
      })
    },
    told: /./,
  },
  {
    name: 'bodies that come byte by byte, and senders that leave',
    attack: async ({ http, token }) => {
      const head = `POST /v1/metrics HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\nauthorization: Bearer ${token}\r\n`
      await times(MANY, () => silent(http, `${head}content-length: 1000000\r\n\r\n{"resourceMetrics": [`, 1000))
    },
    told: /./,
  },
  {
    name: 'tokens that are guessed',
    attack: async target => {
      await times(50, guess => post({ ...target, token: `guess-${guess}` }, '{}'))
    },
    told: /Refused: .*over http.*UNAUTHENTICATED/s,
  },
  {
    name: 'customers without end',
    attack: target =>
      post(target, request([sum(Array.from({ length: 800 }, (_, index) => point(customer(index), '1')))])),
    told: /./,
    counted: true,
  },
  {
    name: 'series without end',
    attack: target =>
      post(
        target,
        request([
          sum(Array.from({ length: target.endless }, (_, i) => point(customer(5), '1', {}, { i: `series ${i}` }))),
        ]),
      ),
    told: /./,
    counted: true,
  },
  {
    name: 'usage of the good sender’s customer',
    attack: target => post(target, request([sum([point('111122223333', '1000000')])])),
    told: /Not billed: .*its sender may not bill/,
  },
  {
    name: 'what is no request',
    attack: async target => {
      const deep = `${'{"kvlistValue":{"values":[{"key":"a","value":'.repeat(500)}{}${'}]}}'.repeat(500)}`
      await times(20, async index => {
        await post(target, '{"resourceMetrics": ['.repeat(1000))
        await post(target, `{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":${deep}}]}}]}`)
        await post(target, Buffer.from([10, 255, 255, 255, 255, index]).toString('latin1'), {
          'content-type': 'application/x-protobuf',
        })
        await post(target, '{}', { 'content-type': 'text/plain' })
        await post(target, '{}', { 'content-encoding': 'br' })
      })
    },
    told: /Refused: .* of bad over http/,
  },
  {
    name: 'a browser that somebody else’s page steers',
    attack: async target => {
      await post(target, request([sum([point(customer(6), '1000000')])]), {
        ...{ origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' },
      })
    },
    told: /Refused: .*over http\b.*PERMISSION_DENIED/s,
  },
]
