import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import type { DimensionOptions } from '../../src/usage/options.ts'
import { PRESETS, type PresetName } from '../../src/usage/presets.ts'
import type { Rule } from '../../src/usage/rule.ts'
import { readGateway, TOKENS, textOfExample as textOf } from './collector-gateway.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = join(ROOT, 'examples/collector')
const CASES = ['billing', 'vllm']
/** The Collectors' names, as the gateway knows them. */
const SENDERS: Record<string, string> = { billing: 'collector', vllm: 'scraper' }

// biome-ignore lint/suspicious/noExplicitAny: files of others' formats are looked at, not typed
type Yaml = any

function documentsIn(name: string): Yaml[] {
  return parseAllDocuments(textOf(name)).map(document => {
    assert.deepEqual([...document.errors, ...document.warnings].map(String), [], name)
    return document.toJS()
  })
}

const collectorOf = (which: string): Yaml => documentsIn(`collector-${which}.yaml`)[0]

const gatewayOf = (which: string) => readGateway(textOf(`gateway-${which}.yaml`))

test('every file is YAML', () => {
  // A template of CloudFormation has tags of its own; dynamodb-roles.long.test.ts has it checked.
  const files = globSync('**/*.yaml', { cwd: FOLDER }).filter(file => file !== 'dynamodb-roles.yaml')
  assert.ok(files.length >= 8)
  for (const file of files) assert.ok(documentsIn(file).length > 0)
})

for (const which of CASES) {
  test(`the gateway takes gateway-${which}.yaml`, () => {
    const { http, grpc, region, productCode, senders } = gatewayOf(which)
    assert.deepEqual({ http: http?.port, grpc, region }, { http: 4328, grpc: undefined, region: 'us-east-1' })
    const name = SENDERS[which]
    // Who watches bills nobody.
    const watching = { name: 'prometheus', token: 'a-token-of-prometheus', customers: new Set() }
    assert.deepEqual(senders, [{ name, token: `a-token-of-${name}` }, watching])
    assert.equal(productCode, 'your-product-code')
  })

  test(`collector-${which}.yaml brings all that is billable, and loses none of it`, () => {
    assert.deepEqual(problemsOf(collectorOf(which)), [])
  })

  test(`the filter of collector-${which}.yaml keeps what gateway-${which}.yaml has rules for, and nothing else`, () => {
    const { dimensions = {} } = gatewayOf(which)
    const [condition, ...others] = collectorOf(which).processors['filter/billing'].metric_conditions
    assert.deepEqual(others, [])
    assert.match(condition, /^metric\.name != "[^"]+"( and metric\.name != "[^"]+")*$/)
    const kept = [...condition.matchAll(/"([^"]+)"/g)].map(([, name]) => name)
    assert.deepEqual(kept.sort(), Object.values(dimensions).flatMap(metricsOf).sort())
  })
}

/**
 * The names under which a Collector forwards what a dimension is added up from: it keeps Prometheus' colons. Ray Serve's
 * are for those who use it.
 */
function metricsOf({ from }: DimensionOptions): string[] {
  const rules = [from].flat().flatMap((source): readonly Rule[] => {
    return typeof source === 'string' ? PRESETS[source as PresetName] : [source as Rule]
  })
  const names = rules.flatMap(({ metric }) => metric).filter(name => !name.startsWith('ray_'))
  return names.filter(
    name => name.includes(':') || !names.some(other => other.replace(':', '_') === name && other !== name),
  )
}

/** What could lose usage of the billing pipeline, or hide that it does. */
function problemsOf(config: Yaml): string[] {
  const problems: string[] = []
  const expect = (fact: unknown, problem: string) => void (fact || problems.push(problem))
  const { service, extensions, exporters, processors } = config
  for (const [name, { receivers, processors, exporters }] of Object.entries<Yaml>(service.pipelines)) {
    for (const [kind, ids] of Object.entries<string[]>({ receivers, processors, exporters })) {
      for (const id of ids) expect(id in config[kind], `${name} has ${id}, which is not among ${kind}`)
    }
  }
  expect(service.extensions.join() === Object.keys(extensions).join(), 'extensions that are not enabled')
  for (const kind of ['receivers', 'processors', 'exporters']) {
    const used = Object.values<Yaml>(service.pipelines).flatMap(pipeline => pipeline[kind])
    for (const id of Object.keys(config[kind])) expect(used.includes(id), `${id} is in no pipeline`)
  }
  for (const { processors } of Object.values<Yaml>(service.pipelines)) {
    expect(processors[0] === 'memory_limiter', 'memory_limiter is not first')
  }

  const billing = service.pipelines['metrics/billing']
  const types = billing.processors.map((id: string) => id.split('/')[0])
  expect(types.join() === 'memory_limiter,filter', `processors ${types}`)
  expect(processors['filter/billing'].error_mode === 'ignore', 'a condition that fails drops data')
  expect(billing.exporters.join() === 'otlp_http/billing', `exporters ${billing.exporters}`)
  const { retry_on_failure: retry, sending_queue: queue, compression, endpoint, auth } = exporters['otlp_http/billing']
  expect(retry.enabled === true && retry.max_elapsed_time === 0, 'it gives up')
  expect(queue.enabled === true && queue.storage in extensions, 'the queue is in memory')
  expect(extensions[queue.storage]?.fsync === true, 'the queue is not synchronized')
  expect(queue.block_on_overflow === false, 'a full queue blocks')
  expect(
    queue.batch.sizer === 'items' && queue.batch.max_size > 0 && queue.batch.max_size <= 5000,
    'requests are larger than the gateway takes',
  )
  expect(compression === 'gzip', 'no compression')
  expect(extensions[auth.authenticator]?.filename === `${TOKENS}/token`, 'a token that it does not read again')
  expect(/^\$\{env:METERING_ENDPOINT:-http:\/\/127\.0\.0\.1:4328\}$/.test(endpoint), `endpoint ${endpoint}`)
  return problems
}

test('the check finds what would lose usage', () => {
  const mistakes: [from: string, to: string, problem: RegExp][] = [
    ['max_elapsed_time: 0', 'max_elapsed_time: 300s', /gives up/],
    ['      storage: file_storage/billing\n', '', /in memory/],
    ['fsync: true', 'fsync: false', /not synchronized/],
    ['extensions: [health_check, file_storage/billing, ', 'extensions: [health_check, ', /not enabled/],
    ['[memory_limiter, filter/billing]', '[filter/billing, memory_limiter]', /not first/],
    ['[memory_limiter, filter/billing]', '[memory_limiter, filter/billing, cumulativetodelta]', /cumulativetodelta/],
    ['[memory_limiter, filter/billing]', '[memory_limiter, batch]', /batch/],
    ['exporters: [otlp_http/billing]', 'exporters: [otlp_http]', /otlp_http, which is not among exporters/],
    ['max_size: 5000', 'max_size: 0', /larger than the gateway takes/],
    ['error_mode: ignore', 'error_mode: propagate', /drops data/],
    [`filename: ${TOKENS}/token`, 'token: a-token-of-the-tests', /does not read again/],
  ]
  const text = textOf('collector-billing.yaml')
  for (const [from, to, problem] of mistakes) {
    assert.ok(text.includes(from), from)
    const [document] = parseAllDocuments(text.replace(from, to)) as Yaml
    assert.match(problemsOf(document.toJS()).join('\n'), problem, to)
  }
})

test('what the Collector files share is the same', () => {
  const [billing, vllm] = CASES.map(collectorOf)
  assert.deepEqual(vllm.extensions, billing.extensions)
  const [ordered, unordered] = [vllm, billing].map(config => structuredClone(config.exporters['otlp_http/billing']))
  // What is scraped has mostly no start, and so nothing but its order.
  assert.equal(ordered.sending_queue.num_consumers, 1)
  assert.equal(unordered.sending_queue.num_consumers, 10)
  ordered.sending_queue.num_consumers = 10
  assert.deepEqual(ordered, unordered)
  assert.deepEqual(vllm.processors.memory_limiter, billing.processors.memory_limiter)
})

/** What is wrong with how targets are found and named. */
function targetProblems(config: Yaml): string[] {
  const problems: string[] = []
  const { scrape_configs: jobs, global } = config.receivers.prometheus.config
  if (global.external_labels) problems.push('labels of one Collector')
  for (const {
    job_name: job,
    static_configs,
    kubernetes_sd_configs: discovered = [],
    relabel_configs: rules = [],
  } of jobs) {
    const expect = (fact: unknown, problem: string) => void (fact || problems.push(`${job}: ${problem}`))
    const labelled = (label: string) => rules.find((rule: Yaml) => rule.target_label === label)?.source_labels
    const kept = (label: string) =>
      rules.some((rule: Yaml) => rule.action === 'keep' && rule.source_labels[0] === label)
    expect(static_configs === undefined, 'an address that may be a Service')
    expect(discovered.length === 1 && discovered[0].role === 'pod', 'targets that are no pods')
    expect(kept('__meta_kubernetes_pod_container_port_number'), 'a target for each port of a pod')
    const [instance, ...others] = labelled('instance') ?? []
    const names = ['__meta_kubernetes_pod_uid', '__meta_kubernetes_pod_node_name']
    expect(others.length === 0 && names.includes(instance), 'an instance that comes again')
  }
  for (const id of Object.keys(config.processors)) {
    if (!/^(memory_limiter|filter)/.test(id)) problems.push(`${id} changes starts or names`)
  }
  return problems
}

test('each scraped target is one process, under a name that both Collectors of a pair give it', () => {
  assert.deepEqual(targetProblems(collectorOf('vllm')), [])
})

test('the check finds targets that are not one process', () => {
  const text = textOf('collector-vllm.yaml')
  const mistakes: [from: string | RegExp, to: string, problem: RegExp][] = [
    ['- role: pod', '- role: service', /no pods/],
    [
      'kubernetes_sd_configs:\n            - role: pod',
      'static_configs:\n            - targets: [vllm:8000]',
      /Service/,
    ],
    ['[__meta_kubernetes_pod_container_port_number]', '[__meta_kubernetes_pod_phase]', /each port/],
    ['[__meta_kubernetes_pod_uid]', '[__meta_kubernetes_pod_name]', /comes again/],
    ['scrape_interval: 10s', 'scrape_interval: 10s\n        external_labels: { replica: a }', /one Collector/],
    ['  memory_limiter:\n', '  metric_start_time: {}\n  memory_limiter:\n', /metric_start_time/],
  ]
  for (const [from, to, problem] of mistakes) {
    assert.notEqual(text.replace(from, to), text)
    const [document] = parseAllDocuments(text.replace(from, to)) as Yaml
    assert.match(targetProblems(document.toJS()).join('\n'), problem, to)
  }
})

test('each scraped target, and each GPU, is somebody’s', () => {
  const { scrape_configs: jobs } = collectorOf('vllm').receivers.prometheus.config
  const { customer } = gatewayOf('vllm') as { customer: { accountId: string } }
  const label = '__meta_kubernetes_pod_label_customer_account_id'
  for (const { relabel_configs: targets, metric_relabel_configs: rules } of jobs) {
    const named = (rules ?? targets).filter((rule: Yaml) => rule.target_label === customer.accountId)
    assert.ok(named.length > 0)
    for (const { source_labels: source, replacement } of named) {
      if (rules) assert.match(replacement, /^\d{12}$/)
      else {
        assert.deepEqual(source, [label])
        const kept = targets.find((rule: Yaml) => rule.action === 'keep' && rule.source_labels[0] === label)
        assert.equal(kept.regex, '\\d{12}')
      }
    }
  }
})

test('compose.yaml has what its services need', () => {
  const { services, volumes, configs } = documentsIn('compose.yaml')[0]
  const defined = new Set(Object.keys(volumes))
  const contents = (service: string) =>
    Object.fromEntries(services[service].configs.map((one: Yaml) => [one.target, configs[one.source].content]))
  for (const [name, { volumes: mounts = [], build }] of Object.entries<Yaml>(services)) {
    for (const mount of mounts as string[]) {
      const [source = ''] = mount.split(':')
      assert.ok(source.startsWith('./') ? existsSync(join(FOLDER, source)) : defined.has(source), `${name}: ${mount}`)
    }
    if (build) assert.ok(existsSync(resolve(FOLDER, build.context, build.dockerfile)))
  }
  assert.deepEqual(services.gateway.image, services.simulator.image)
  const settings = { collector: 'collector-billing.yaml', gateway: 'gateway-billing.yaml' }
  for (const [service, file] of Object.entries(settings)) {
    for (const name of variablesOf(file)) assert.ok(name in services[service].environment, `${service}: ${name}`)
  }
  // Each token is where it is read, and long enough.
  const { [`${TOKENS}/token`]: token } = contents('collector')
  const tokens = contents('gateway')
  assert.equal(token, tokens[`${TOKENS}/collector`])
  const read = [...textOf('gateway-billing.yaml').matchAll(/\$\{file:([^}]+)\}/g)].map(([, path]) => path)
  assert.deepEqual(Object.keys(tokens), read)
  for (const one of Object.values<string>(tokens)) assert.ok(one.length >= 16)
  assert.ok(textOf('README.md').includes(`password \`${tokens[`${TOKENS}/prometheus`]}\``))
})

/** The environment's variables that a file asks for. */
function variablesOf(file: string): string[] {
  return [...textOf(file).matchAll(/\$\{env:([A-Z_]+)/g)].map(([, name]) => name as string)
}

test('the image has the packages that the commands import, on the same Node as the server’s', () => {
  const dockerfile = textOf('Dockerfile')
  const [, listed = ''] = /ARG GATEWAY_PACKAGES="([^"]+)"/.exec(dockerfile) ?? []
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const [, command = '', script = ''] = /^ENTRYPOINT \["(node)", "([^"]+)"\]$/m.exec(dockerfile) ?? []
  assert.equal(command, 'node')
  const imported = packagesOf(join(ROOT, script)).filter(name => !(name in dependencies))
  assert.deepEqual(listed.split(' ').sort(), imported.sort())
  const nodeOf = (text: string) => /^ARG NODE_IMAGE=(.+)$/m.exec(text)?.[1]
  assert.equal(nodeOf(dockerfile), nodeOf(readFileSync(join(ROOT, 'examples/aws/Dockerfile'), 'utf8')))
})

/** The packages that a module and those that it imports name, other than for their types. */
function packagesOf(entry: string): string[] {
  const modules = new Set([entry])
  const packages = new Set<string>()
  for (const file of modules) {
    const text = readFileSync(file, 'utf8')
    for (const [, type, from, dynamic] of text.matchAll(IMPORTS)) {
      const name = (from ?? dynamic) as string
      if (type !== undefined || name.startsWith('node:')) continue
      if (name.startsWith('.')) modules.add(resolve(dirname(file), name))
      else packages.add(/^(@[^/]+\/)?[^/]+/.exec(name)?.[0] as string)
    }
  }
  return [...packages]
}

const IMPORTS = /^(?:import|export)( type)? [^'"]*?from '([^']+)'|\bimport\('([^']+)'\)/gm
