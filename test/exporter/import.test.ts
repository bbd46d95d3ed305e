import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'

const INDEX = import.meta.resolve('../../src/index.ts')

/** Runs a module in a process of its own, and returns the URLs of all that it loads. */
function loadedBy(code: string): string[] {
  const watch = `
    import { registerHooks } from 'node:module'
    registerHooks({ load: (url, context, next) => { console.log(url); return next(url, context) } })`
  const toUrl = (module: string) => `data:text/javascript,${encodeURIComponent(module)}`
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--import', toUrl(watch), '--input-type=module', '--eval', code],
    { encoding: 'utf8' },
  )
  assert.equal(status, 0, stderr)
  return stdout.trim().split('\n')
}

const HEAVY =
  /@aws-sdk|@smithy|grpc|protobuf|otlp|\/pg\/|commander|console-table-printer|sdk-metrics|\/src\/(cli|simulator)\//

test('the import of the exporter is light', () => {
  const loaded = loadedBy(`await import('${INDEX}')`)
  assert.ok(loaded.some(url => url.endsWith('/src/exporter.ts')))
  assert.deepEqual(
    loaded.filter(url => HEAVY.test(url)),
    [],
  )
  const packages = loaded.map(url => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1])
  assert.deepEqual([...new Set(packages.filter(name => name !== undefined))].sort(), ['@opentelemetry/api', 'valibot'])
})

test('an exporter that has nothing to meter does not load the AWS SDK', () => {
  const options = `{ productCode: 'p', region: 'us-east-1', ledger: ':memory:' }`
  const loaded = loadedBy(`
    const { AWSMarketplaceMetricExporter } = await import('${INDEX}')
    await new AWSMarketplaceMetricExporter(${options}).shutdown()`)
  assert.deepEqual(
    loaded.filter(url => HEAVY.test(url)),
    [],
  )
})
