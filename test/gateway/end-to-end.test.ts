import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seeded } from '../../src/simulator/random.ts'
import { App, COMPRESSIONS, TEMPORALITIES, TRANSPORTS } from './end-to-end/app.ts'
import { CLOSED, World } from './end-to-end/world.ts'

test("applications with OpenTelemetry's own exporters are billed what they measured", async () => {
  let ahead = 0
  // Of a clock that has parts of milliseconds.
  await using world = await World.open(() => Date.now() + ahead + 0.5)
  const apps = TRANSPORTS.flatMap(transport =>
    TEMPORALITIES.flatMap(temporality =>
      COMPRESSIONS.map((compression, index) => {
        const { url } = transport === 'grpc' ? world.grpc : world.http
        const random = seeded(index + 1)
        return new App({ transport, temporality, compression, url, measured: world.measured, random })
      }),
    ),
  )
  const work = () => {
    for (const app of apps) app.work()
  }
  const flush = async (some: readonly App[] = apps) => {
    const done = await Promise.all(some.map(async app => (await app.flush()) || app.name))
    assert.deepEqual(done, Array(some.length).fill(true))
  }

  const overHttp = apps.filter(app => !app.name.startsWith('grpc'))

  work()
  await flush()

  // Answers are lost: what is sent again counts once.
  work()
  world.http.losing = 6
  await flush()
  assert.equal(world.http.lost, 6)

  // Over gRPC it does not try again, and the next export of a cumulative counter says it all.
  const cumulativeOverGrpc = apps.filter(app => app.name.startsWith('grpc cumulative'))
  work()
  world.grpc.losing = 2
  await Promise.all(cumulativeOverGrpc.map(app => app.flush()))
  assert.equal(world.grpc.lost, 2)
  await flush()

  // The gateway is away while applications are sending.
  work()
  await world.stop()
  const flushed = flush(overHttp)
  await world.start()
  await flushed
  await flush()

  // The gateway is restarted while applications are sending.
  work()
  const again = flush(overHttp)
  await world.restart()
  await again
  await flush()

  // Applications are restarted: their counters begin with 0 again.
  work()
  await Promise.all(apps.map(app => app.restart()))
  work()
  await flush()

  // Hours pass, and what comes late is billed in the next.
  ahead += CLOSED
  work()
  await flush()
  ahead += CLOSED
  await Promise.all(apps.map(app => app.end()))
  await world.restart()
  await world.checkBill()
  for (const { name, failures } of apps) assert.equal(failures, name.startsWith('grpc cumulative') ? 1 : 0, name)
})
