import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { Gateway } from '../../src/gateway/gateway.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'
import { readGateway, TOKENS, textOfExample as textOf } from './collector-gateway.ts'

const MANIFESTS = ['single.yaml', 'replicas.yaml', 'sidecar.yaml', 'scraper.yaml']

// biome-ignore lint/suspicious/noExplicitAny: manifests are looked at, not typed
type Yaml = any

const objectsOf = (name: string): Yaml[] =>
  parseAllDocuments(textOf(`kubernetes/${name}`)).map(document => document.toJS())
const README = textOf('README.md')

/** The secrets that the README makes, with their keys. */
const SECRETS = new Map(
  [...README.matchAll(/create secret generic ([\w-]+)((?:[\s\\]+--from-literal=[\w-]+=(?:"[^"]*"|'[^']*'))+)/g)].map(
    ([, name = '', literals = '']) => [
      name,
      [...literals.matchAll(/--from-literal=([\w-]+)=/g)].map(([, key]) => key as string),
    ],
  ),
)

const VERSIONS: Record<string, string> = {
  ServiceAccount: 'v1',
  Service: 'v1',
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  PodDisruptionBudget: 'policy/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  ClusterRole: 'rbac.authorization.k8s.io/v1',
  ClusterRoleBinding: 'rbac.authorization.k8s.io/v1',
}

/** A release, and where somebody has pinned it, its digest. */
const IMAGE = /:\d+\.\d+\.\d+(@sha256:[\da-f]{64})?$/

const isGateway = ({ args = [] }: Yaml) => args[0] === 'serve'
const scrapes = ({ args = [] }: Yaml) => args.includes('--config=/etc/metering/scraper.yaml')

/** The secrets that a container has as files. */
function secretsOf({ volumeMounts = [] }: Yaml, pod: Yaml): Yaml[] {
  return volumeMounts.flatMap(({ name, mountPath, readOnly }: Yaml) => {
    const { secret } = pod.volumes.find((volume: Yaml) => volume.name === name) ?? {}
    if (secret !== undefined) assert.deepEqual([mountPath, readOnly], [TOKENS, true])
    return secret ?? []
  })
}

/** What runs pods, with all their containers. */
function workloadsIn(objects: Yaml[]) {
  return objects
    .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
    .map(object => {
      const { spec } = object.spec.template
      return { ...object, pod: spec, containers: [...(spec.initContainers ?? []), ...spec.containers] as Yaml[] }
    })
}

for (const name of MANIFESTS) {
  const objects = objectsOf(name)
  const workloads = workloadsIn(objects)
  const labelled = (labels: object) =>
    workloads.filter(({ spec }) => {
      const own = spec.template.metadata.labels
      return Object.entries(labels).every(([key, value]) => own[key] === value)
    })

  test(`${name}: each object is what it has to be`, () => {
    assert.equal(new Set(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).size, objects.length)
    for (const { kind, apiVersion, metadata } of objects) {
      assert.equal(apiVersion, VERSIONS[kind])
      assert.match(metadata.name, /^[a-z]([-a-z0-9]*[a-z0-9])?$/)
      assert.equal(metadata.namespace, undefined)
    }
    const accounts = objects.filter(({ kind }) => kind === 'ServiceAccount')
    for (const { pod, containers } of workloads) {
      const account = accounts.find(({ metadata }) => metadata.name === pod.serviceAccountName)
      const role = account?.metadata.annotations?.['eks.amazonaws.com/role-arn']
      // What sends usage records has a role to do it with, and nothing else has one.
      if (containers.some(isGateway)) {
        assert.match(role, /^arn:aws:iam::\d{12}:role\/[\w-]+$/)
      } else assert.equal(role, undefined)
    }
    for (const { spec, containers } of workloads) {
      const others = containers.filter((one: Yaml) => !isGateway(one)).map(({ name }: Yaml) => name)
      const { annotations = {} } = spec.template.metadata
      // Not the others of its pod, either: https://github.com/aws/amazon-eks-pod-identity-webhook#eks-walkthrough
      const skipped = others.length < containers.length && others.length > 0 ? others.join() : undefined
      assert.equal(annotations['eks.amazonaws.com/skip-containers'], skipped)
    }
  })

  test(`${name}: selectors find their pods, and ports are there`, () => {
    const portsOf = (found: typeof workloads) => found.flatMap(({ containers }) => containers).flatMap(c => c.ports)
    for (const { kind, spec, metadata } of objects) {
      if (kind === 'Deployment' || kind === 'StatefulSet') {
        assert.ok(labelled(spec.selector.matchLabels).some(one => one.metadata.name === metadata.name))
      }
      if (kind === 'StatefulSet') {
        assert.ok(objects.some(other => other.kind === 'Service' && other.metadata.name === spec.serviceName))
      }
      if (kind === 'PodDisruptionBudget') {
        const [guarded] = labelled(spec.selector.matchLabels)
        assert.ok(guarded?.spec.replicas > (spec.minAvailable ?? 0))
      }
      if (kind === 'Service') {
        const names = portsOf(labelled(spec.selector)).map(port => port.name)
        for (const { targetPort } of spec.ports) assert.ok(names.includes(targetPort), targetPort)
      }
      if (kind === 'NetworkPolicy') {
        const numbers = portsOf(labelled(spec.podSelector.matchLabels)).map(port => port.containerPort)
        for (const { port } of spec.ingress.flatMap((rule: Yaml) => rule.ports)) assert.ok(numbers.includes(port), port)
        assert.deepEqual(spec.policyTypes, ['egress' in spec ? ['Ingress', 'Egress'] : ['Ingress']].flat())
      }
    }
    // Nothing is open to whoever gets into the cluster's network.
    const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy')
    for (const workload of workloads) {
      assert.ok(policies.some(({ spec }) => labelled(spec.podSelector.matchLabels).includes(workload)))
    }
  })

  test(`${name}: pods are confined, have what they mount, and may end in peace`, () => {
    for (const { pod, containers, spec } of workloads) {
      assert.ok(pod.securityContext.runAsNonRoot && pod.securityContext.seccompProfile.type === 'RuntimeDefault')
      // Only what finds pods by itself may speak to the cluster.
      const binding = objects.find(({ kind }) => kind === 'ClusterRoleBinding')
      const bound = binding?.subjects[0].name
      assert.equal(pod.automountServiceAccountToken, bound !== undefined && bound === pod.serviceAccountName)
      // The gateway ends within 25 seconds.
      assert.ok(pod.terminationGracePeriodSeconds > 25)
      const volumes = [...pod.volumes, ...(spec.volumeClaimTemplates ?? []).map((claim: Yaml) => claim.metadata)]
      for (const { resources, securityContext, volumeMounts = [], image } of containers) {
        const { runAsUser, ...confined } = securityContext
        assert.deepEqual(confined, {
          ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
          capabilities: { drop: ['ALL'] },
        })
        assert.ok(runAsUser > 0)
        assert.ok(resources.requests.cpu && resources.requests.memory && resources.limits.memory)
        assert.match(image, IMAGE)
        for (const mount of volumeMounts)
          assert.ok(
            volumes.some(volume => volume.name === mount.name),
            mount.name,
          )
      }
    }
  })

  test(`${name}: what the containers read is made as the README says`, () => {
    for (const { pod, containers } of workloads) {
      for (const { configMap, secret } of pod.volumes) {
        if (configMap !== undefined) assert.deepEqual(configMap, { name: 'metering' })
        for (const { key } of secret?.items ?? []) assert.ok(SECRETS.get(secret.secretName)?.includes(key), key)
      }
      for (const container of containers) {
        const { args = [], env = [] } = container
        const [config] = args.join(' ').match(/\/etc\/metering\/\S+/) ?? []
        if (config) assert.ok(README.includes(`--from-file=${config.split('/').at(-1)}=`), config)
        for (const { name, valueFrom } of env) {
          if (!valueFrom?.secretKeyRef) continue
          const { name: secret, key } = valueFrom.secretKeyRef
          assert.ok(SECRETS.get(secret)?.includes(key), name)
        }
        const names = env.map((variable: Yaml) => variable.name)
        const collector = /(collector|scraper)\.yaml$/.test(config ?? '')
        const needed = collector ? ['METERING_ENDPOINT'] : ['AWS_REGION', 'MARKETPLACE_LEDGER']
        if (config) for (const name of needed) assert.ok(names.includes(name), name)
      }
    }
  })

  test(`${name}: tokens are files, and each sender has its own alone`, () => {
    for (const { pod, containers } of workloads) {
      for (const container of containers) {
        const mounted = secretsOf(container, pod)
        if (isGateway(container)) {
          assert.deepEqual(mounted, [{ secretName: 'metering-tokens' }])
          assert.ok(container.env.every(({ name }: Yaml) => name !== 'METERING_TOKEN'))
        } else if (container.name === 'collector') {
          const sender = scrapes(container) ? 'scraper' : 'collector'
          assert.deepEqual(mounted, [{ secretName: 'metering-tokens', items: [{ key: sender, path: 'token' }] }])
        } else assert.deepEqual(mounted, [])
      }
    }
  })

  test(`${name}: one ledger, however many gateways there are`, () => {
    const gateways = workloads.filter(({ containers }) => containers.some(({ args = [] }) => args[0] === 'serve'))
    assert.equal(gateways.length, name === 'scraper.yaml' ? 0 : 1)
    for (const { kind, spec, containers } of gateways) {
      const { value } = containers
        .flatMap((one: Yaml) => one.env)
        .find((one: Yaml) => one.name === 'MARKETPLACE_LEDGER')
      // A file is for one pod, of which there are never two.
      if (value !== undefined) assert.deepEqual([kind, spec.replicas], ['StatefulSet', 1])
    }
    // A queue is one Collector's own.
    for (const { kind, spec, containers } of workloads) {
      if (!containers.some((one: Yaml) => one.name === 'collector')) continue
      assert.equal(kind, 'StatefulSet')
      assert.ok(spec.volumeClaimTemplates.some((claim: Yaml) => claim.metadata.name === 'queue'))
    }
  })
}

test('two Collectors scrape, which may do nothing but find pods, and whom the gateways let in', () => {
  const objects = objectsOf('scraper.yaml')
  const [scraper, ...others] = workloadsIn(objects)
  assert.deepEqual(others, [])
  assert.ok(scraper?.containers.some(scrapes))
  assert.equal(scraper.spec.replicas, 2)
  const { rules, metadata } = objects.find(({ kind }) => kind === 'ClusterRole')
  assert.deepEqual(rules, [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }])
  const { roleRef, subjects } = objects.find(({ kind }) => kind === 'ClusterRoleBinding')
  assert.deepEqual([roleRef.kind, roleRef.name], ['ClusterRole', metadata.name])
  const subject = { kind: 'ServiceAccount', name: scraper.pod.serviceAccountName, namespace: 'metering' }
  assert.deepEqual(subjects, [subject])
  assert.match(README, /kubectl create namespace metering\n/)

  const [{ value: endpoint }] = scraper.containers.flatMap(({ env }: Yaml) => env)
  const { hostname } = new URL(endpoint)
  const policy = objectsOf('replicas.yaml').find(
    object => object.kind === 'NetworkPolicy' && object.metadata.name === hostname,
  )
  const allowed = policy.spec.ingress.flatMap(({ from }: Yaml) => from)
  assert.ok(
    allowed.some(
      ({ podSelector }: Yaml) =>
        podSelector?.matchLabels['app.kubernetes.io/name'] ===
        scraper.spec.template.metadata.labels['app.kubernetes.io/name'],
    ),
  )
})

test('each replica of a sender has a name of its own, as the README says', () => {
  const [, block = ''] = /```yaml\n(env:\n[\s\S]*?)```/.exec(README) ?? []
  const [said] = parseAllDocuments(block) as Yaml
  const { env } = said.toJS()
  const [inference] = workloadsIn(objectsOf('sidecar.yaml'))
  const application = inference?.containers.find(({ name }: Yaml) => name === 'inference')
  for (const variable of env) {
    assert.deepEqual(
      application.env.find(({ name }: Yaml) => name === variable.name),
      variable,
    )
  }
  const [uid, attributes] = env
  assert.deepEqual(uid.valueFrom, { fieldRef: { fieldPath: 'metadata.uid' } })
  assert.equal(attributes.value, `service.instance.id=$(${uid.name})`)
})

test('every token that a gateway’s file names is in the secret', () => {
  for (const which of ['billing', 'vllm']) {
    const { senders = [] } = readGateway(textOf(`gateway-${which}.yaml`))
    for (const { name, token } of senders) {
      assert.equal(token, `a-token-of-${name}`)
      assert.ok(SECRETS.get('metering-tokens')?.includes(name), name)
    }
  }
})

test('the gateway answers the probes, without a token', async () => {
  using folder = new TemporaryFolder()
  const ledger = new SqliteLedger({ path: folder.file() })
  const client = simulatorClient(new MarketplaceSimulator())
  const gateway = await Gateway.start({
    ...{ productCode: 'prod', region: 'us-east-1', client, ledger, http: { port: 0 } },
    senders: [{ name: 'collector', token: 'a-token-of-the-tests' }],
  })
  try {
    const probes = MANIFESTS.flatMap(name => workloadsIn(objectsOf(name)))
      .flatMap(({ containers }) => containers)
      .filter(({ name }) => name === 'gateway')
      .flatMap(({ ports, startupProbe, livenessProbe, readinessProbe }) => {
        assert.deepEqual(ports, [{ name: 'gateway', containerPort: 4328 }])
        return [startupProbe, livenessProbe, readinessProbe].filter(probe => probe !== undefined)
      })
    assert.equal(probes.length, 7)
    for (const { httpGet } of probes) {
      assert.equal(httpGet.port, 'gateway')
      const { status } = await fetch(`http://${gateway.addresses.http}${httpGet.path}`)
      assert.equal(status, 200, httpGet.path)
    }
  } finally {
    await gateway.close()
    await ledger.close()
  }
})

test('Collectors are probed where they say how they are', () => {
  for (const which of ['billing', 'vllm']) {
    const [config] = parseAllDocuments(textOf(`collector-${which}.yaml`)) as Yaml
    const { extensions, service } = config.toJS()
    assert.equal(extensions.health_check.endpoint, '0.0.0.0:13133')
    assert.equal(service.telemetry.metrics.readers[0].pull.exporter.prometheus.port, 8888)
  }
  for (const { containers } of MANIFESTS.flatMap(name => workloadsIn(objectsOf(name)))) {
    for (const { name, livenessProbe, readinessProbe, ports, image } of containers) {
      if (name !== 'collector') continue
      assert.equal(image, 'otel/opentelemetry-collector-contrib:0.159.0')
      assert.deepEqual([livenessProbe.httpGet, readinessProbe.httpGet], Array(2).fill({ path: '/', port: 'health' }))
      const numbers = ports.map((port: Yaml) => port.containerPort)
      assert.deepEqual(numbers.slice(-2), [13133, 8888])
      assert.deepEqual(numbers.slice(0, -2), containers.some(scrapes) ? [] : [4317, 4318])
    }
  }
})
