import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CelEngine, TemplateFile, TemplateModel } from '@aws/cloudformation-validate'
import { NAMESPACE } from '../../examples/aws/embedded-metric-exporter.ts'

const path = fileURLToPath(new URL('../../examples/aws/cloudformation.yaml', import.meta.url))
const text = readFileSync(path, 'utf8')
const engine = new CelEngine()
const folder = mkdtempSync(join(tmpdir(), 'template-'))
after(() => {
  engine.free()
  rmSync(folder, { recursive: true })
})

const required = {
  ProductCode: 'example-product-code',
  RepositoryName: 'inference-server',
  ImageTag: '0.1.0',
  InstanceImage: 'ami-0123456789abcdef0',
  CertificateArn: 'arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012',
}

/** AWS's own validator, offline: types, properties, values, references, conditions, and what AWS advises. */
function findings(file: string, parameters: Record<string, string> = {}): string[] {
  const { diagnostics } = engine.validateStandard(new TemplateFile(file), {
    parameterOverrides: { ...required, ...parameters },
    severityLevel: 'WARN',
    // It takes the parameter that the test sets for an image that is written into the template.
    exclude: { ids: ['W9010'] },
  })
  return diagnostics.map(({ ruleId, message }) => `${ruleId} ${message}`)
}

for (const parameters of [
  {},
  { Ledger: 'shared' },
  { LedgerHost: 'stopped' },
  { Registration: 'off', ProductLabel: 'inference' },
  {
    AlarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:alarms',
    ApiKeysArn: 'arn:aws:secretsmanager:us-east-1:111122223333:secret:keys-AbCdEf',
  },
]) {
  test(`the template is valid with ${JSON.stringify(parameters)}`, () => {
    assert.deepEqual(findings(path, parameters), [])
  })
}

test('the check finds what is wrong', () => {
  const mistakes: [what: string, from: string, to: string, finding: RegExp][] = [
    ['a misspelt property', 'StopTimeout:', 'StopTimout:', /StopTimout/],
    ['an unknown type', 'Type: AWS::ECS::Cluster', 'Type: AWS::ECS::Clusster', /Clusster/],
    ['a dangling Ref', '!Ref PrivateRoutes', '!Ref PrivateRoute5', /PrivateRoute5/],
    ['a dangling GetAtt', '!GetAtt Key.Arn', '!GetAtt Keys.Arn', /Keys/],
    ['an attribute that is not there', '!GetAtt TaskRole.Arn', '!GetAtt TaskRole.Ern', /Ern/],
    ['a dangling Sub', '{Cluster}/', '{Clster}/', /Clster/],
    ['an unknown condition', 'Condition: HasLedgerHost', 'Condition: HasHost', /HasHost/],
    ['a value that is none', 'Protocol: HTTPS', 'Protocol: HTTTPS', /HTTTPS/],
    ['a text for a number', 'EvaluationPeriods: 3', 'EvaluationPeriods: three', /three/],
    ['a required property left out', '      ResourceType: VPC\n', '', /ResourceType/],
  ]
  for (const [what, from, to, finding] of mistakes) {
    assert.ok(text.includes(from), `${what}: the template has ${from}`)
    const file = join(folder, 'broken.yaml')
    writeFileSync(file, text.replace(from, to))
    assert.match(findings(file).join('\n'), finding, what)
  }
})

// biome-ignore lint/suspicious/noExplicitAny: a template's JSON is looked at, not typed
type Json = any

/** Both branches of a condition stay, as `{ when, yes, no }`. */
function plain(value: Json): Json {
  if ('Concrete' in value) return value.Concrete.value
  if ('List' in value) return value.List.items.map(plain)
  if ('Map' in value) {
    return Object.fromEntries(value.Map.entries.map(({ key, value }: Json) => [key, plain(value)]))
  }
  if ('Conditional' in value) {
    const { condition, if_true, if_false } = value.Conditional
    return { when: condition, yes: plain(if_true), no: plain(if_false) }
  }
  if ('Reference' in value) return { reference: value.Reference.target }
  return value
}

const model = new TemplateModel(new TemplateFile(path))
const resources = Object.fromEntries(
  Object.entries(model.resources()).map(([name, { resourceType, deletionPolicy, properties }]) => [
    name,
    {
      type: resourceType,
      deletionPolicy: deletionPolicy && plain(deletionPolicy),
      ...Object.fromEntries(Object.entries(properties as Json).map(([key, value]) => [key, plain(value)])),
    } as Json,
  ]),
)
const ofType = (type: string) => Object.values(resources).filter(resource => resource.type === type)
model.free()

test('autoscaling is 1 to 10 tasks at 50 requests a task, 60 and 300 seconds apart, and one task with the volume', () => {
  const { MinCapacity, MaxCapacity } = resources.ScalableTarget
  const one = { when: 'Stopped', yes: 0, no: 1 }
  assert.deepEqual(MinCapacity, { when: 'SharedLedger', yes: 1, no: one })
  assert.deepEqual(MaxCapacity, { when: 'SharedLedger', yes: 10, no: one })
  const tracking = resources.ScalingPolicy.TargetTrackingScalingPolicyConfiguration
  assert.equal(tracking.PredefinedMetricSpecification.PredefinedMetricType, 'ALBRequestCountPerTarget')
  assert.deepEqual([tracking.TargetValue, tracking.ScaleOutCooldown, tracking.ScaleInCooldown], [50, 60, 300])
})

test('with the volume two tasks never run at once; with the shared ledger deployments roll on Fargate', () => {
  const { LaunchType, DeploymentConfiguration, DesiredCount } = resources.Service
  assert.deepEqual(LaunchType, { when: 'SharedLedger', yes: 'FARGATE', no: 'EC2' })
  assert.deepEqual(DeploymentConfiguration.MinimumHealthyPercent, { when: 'SharedLedger', yes: 100, no: 0 })
  assert.deepEqual(DeploymentConfiguration.MaximumPercent, { when: 'SharedLedger', yes: 200, no: 100 })
  assert.deepEqual(DeploymentConfiguration.DeploymentCircuitBreaker, { Enable: true, Rollback: true })
  assert.deepEqual(DesiredCount.no, { when: 'Stopped', yes: 0, no: 1 })
})

test('the ledger is on an encrypted volume that outlives the stack, and so does its key', () => {
  const { Encrypted, KmsKeyId, deletionPolicy } = resources.LedgerVolume
  assert.deepEqual([Encrypted, KmsKeyId, deletionPolicy], [true, { reference: 'Key' }, 'Retain'])
  assert.equal(resources.Key.deletionPolicy, 'Retain')
})

test("the seed's alarms have its thresholds", () => {
  const of = ({ Statistic, ExtendedStatistic, Threshold, Period, EvaluationPeriods }: Json) => [
    ExtendedStatistic ?? Statistic,
    Threshold,
    Period,
    EvaluationPeriods,
  ]
  assert.deepEqual(of(resources.HighP99LatencyAlarm), ['p99', 5, 60, 3])
  assert.deepEqual(of(resources.UnhealthyTasksAlarm), ['Maximum', 0, 60, 2])
  const { Metrics, Threshold, EvaluationPeriods, ComparisonOperator } = resources.High5xxAlarm
  assert.deepEqual([Threshold, EvaluationPeriods, ComparisonOperator], [10, 3, 'GreaterThanThreshold'])
  assert.deepEqual(
    Metrics.flatMap(({ MetricStat }: Json) => (MetricStat ? [[MetricStat.Stat, MetricStat.Period]] : [])),
    [
      ['Sum', 60],
      ['Sum', 60],
    ],
  )
})

test('every alarm that costs money is there, watches a metric of the exporter, and tells somebody', () => {
  const reporter = readFileSync(new URL('../../src/reporter.ts', import.meta.url), 'utf8')
  const alarms = ofType('AWS::CloudWatch::Alarm')
  const own = alarms.filter(({ Namespace }) => Namespace === NAMESPACE)
  for (const { MetricName, Dimensions } of own) {
    assert.ok(reporter.includes(`'${MetricName.replace(/\.failed$/, '')}'`), MetricName)
    assert.deepEqual(
      Dimensions.map(({ Name }: Json) => Name),
      ['Service'],
    )
  }
  assert.deepEqual(
    new Set(own.map(({ MetricName }) => MetricName.replace(/^marketplace\./, ''))),
    new Set([
      'metering.oldest_pending.age',
      'metering.held',
      'metering.conflicts',
      'usage.unattributed',
      'usage.unbillable',
      'usage.two_sources',
      'otel.sdk.exporter.metric_data_point.exported.failed',
    ]),
  )
  for (const { AlarmName, AlarmActions } of alarms) assert.ok(AlarmActions.length > 0, AlarmName)
})

test('the server may meter and register customers, and nothing else', () => {
  const actions = ({ Policies }: Json): string[] =>
    Policies.flatMap(({ PolicyDocument }: Json) =>
      PolicyDocument.Statement.flatMap((statement: Json) => (statement.yes ?? statement).Action),
    )
  assert.deepEqual(actions(resources.TaskRole), ['aws-marketplace:BatchMeterUsage', 'aws-marketplace:ResolveCustomer'])
  const [, resolve] = resources.TaskRole.Policies[0].PolicyDocument.Statement
  assert.equal(resolve.when, 'Registers')
  for (const role of ofType('AWS::IAM::Role')) {
    for (const action of actions(role)) assert.ok(!action.includes('*'), action)
  }
  for (const name of ['ExecutionRole', 'InstanceRole', 'FlowLogRole']) {
    assert.ok(!actions(resources[name]).some(action => action.startsWith('aws-marketplace:')))
  }
  const [{ Action, Resource }] = resources.ExecutionRole.Policies[0].PolicyDocument.Statement
  assert.deepEqual([Action, Resource], ['ecr:GetAuthorizationToken', '*'], 'only this one knows no resource')
})

test('tasks have subnets of their own, without a way in from the internet', () => {
  const { AssignPublicIp, Subnets } = resources.Service.NetworkConfiguration.AwsvpcConfiguration
  assert.equal(AssignPublicIp, 'DISABLED')
  const named = new Set([...Subnets.yes, ...Subnets.no].map(({ reference }: Json) => reference))
  assert.deepEqual(named, new Set(['PrivateSubnetA', 'PrivateSubnetB']))
  for (const { SubnetId, RouteTableId } of ofType('AWS::EC2::SubnetRouteTableAssociation')) {
    if (named.has(SubnetId.reference)) assert.equal(RouteTableId.reference, 'PrivateRoutes')
  }
  const ways = ofType('AWS::EC2::Route').filter(({ RouteTableId }) => RouteTableId.reference === 'PrivateRoutes')
  assert.deepEqual(
    ways.map(({ GatewayId, NatGatewayId }) => [GatewayId, NatGatewayId.reference]),
    [[undefined, 'NatGateway']],
  )
  const [http] = resources.HttpListener.DefaultActions
  assert.deepEqual([http.Type, http.RedirectConfig.Protocol], ['redirect', 'HTTPS'])
})

test('the parameters refuse latest and a shared ledger that is not there yet', () => {
  assert.match(text, /AllowedPattern: .\(\?!latest\$\)/)
  assert.match(text, /SharedLedgerComesLater:\n {4}Assertions:\n {6}- Assert: !Not \[!Equals \[!Ref Ledger, shared\]\]/)
})
