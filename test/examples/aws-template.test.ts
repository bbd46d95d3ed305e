import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CelEngine, TemplateFile, TemplateModel } from '@aws/cloudformation-validate'
import { parse, type YAMLSeq } from 'yaml'
import { NAMESPACE } from '../../examples/aws/embedded-metric-exporter.ts'
import { tableDefinition } from '../../src/ledger/dynamodb/definition.ts'
import { expectedOfLedger, ledgerName } from '../../src/ledger/open.ts'

const path = fileURLToPath(new URL('../../examples/aws/cloudformation.yaml', import.meta.url))
const forwarding = fileURLToPath(new URL('../../examples/aws/agreement-events.yaml', import.meta.url))
const metering = fileURLToPath(new URL('../../examples/aws/metering-alarms.yaml', import.meta.url))
// Here, since the validator takes seconds to begin.
const roles = fileURLToPath(new URL('../../examples/collector/dynamodb-roles.yaml', import.meta.url))
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
  CertificateArn: 'arn:aws:acm:us-east-1:111122223333:certificate/12345678-1234-1234-1234-123456789012',
}

const volume = { Ledger: 'volume', InstanceImage: 'ami-0123456789abcdef0' }

/** AWS's own validator, offline: types, properties, values, references, conditions, and what AWS advises. */
function findings(file: string, parameters: Record<string, string> = {}, others = required): string[] {
  const { diagnostics } = engine.validateStandard(new TemplateFile(file), {
    parameterOverrides: { ...others, ...parameters },
    severityLevel: 'WARN',
    // It takes the parameter that the test sets for an image that is written into the template.
    exclude: { ids: ['W9010'] },
  })
  // Only the volume's machine has an image, so the parameter is a text that may be none, which it advises against.
  return diagnostics
    .filter(({ ruleId, message }) => !(['W1030', 'W2506'].includes(ruleId) && message.includes("'InstanceImage'")))
    .map(({ ruleId, message }) => `${ruleId} ${message}`)
}

for (const parameters of [
  {},
  { RestoredLedgerTable: 'restored' },
  { Tasks: 'stopped' },
  { ProductLabel: 'inference', AlarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:alarms' },
  volume,
  { ...volume, Tasks: 'stopped' },
  { ...volume, ProductLabel: 'inference' },
  { ApiKeysArn: 'arn:aws:secretsmanager:us-east-1:111122223333:secret:keys-AbCdEf' },
]) {
  test(`the template is valid with ${JSON.stringify(parameters)}`, () => {
    assert.deepEqual(findings(path, parameters), [])
  })
}

test('what brings the events to another region is valid', () => {
  const parameters = { Region: 'eu-central-1', AlarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:alarms' }
  assert.deepEqual(findings(forwarding, {}, parameters as never), [])
})

test('the alarms of the metering are valid', () => {
  const parameters = { Service: 'inference', AlarmTopicArn: 'arn:aws:sns:us-east-1:111122223333:alarms' }
  assert.deepEqual(findings(metering, {}, parameters as never), [])
})

test('the roles of a ledger on DynamoDB are valid', () => {
  for (const KeyArn of ['none', 'arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012']) {
    assert.deepEqual(findings(roles, {}, { TableName: 'marketplace-ledger', KeyArn } as never), [])
  }
})

test('each template is small enough to be deployed without a bucket', () => {
  for (const file of [path, forwarding, metering]) assert.ok(readFileSync(file).length <= 51_200, file)
})

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

function resourcesOf(file: string): Record<string, Json> {
  const model = new TemplateModel(new TemplateFile(file))
  const entries = Object.entries(model.resources())
  model.free()
  return Object.fromEntries(
    entries.map(([name, { resourceType, deletionPolicy, updateReplacePolicy, properties }]) => [
      name,
      {
        type: resourceType,
        deletionPolicy: deletionPolicy && plain(deletionPolicy),
        updateReplacePolicy: updateReplacePolicy && plain(updateReplacePolicy),
        ...Object.fromEntries(Object.entries(properties as Json).map(([key, value]) => [key, plain(value)])),
      } as Json,
    ]),
  )
}

const resources = resourcesOf(path)
const ofType = (type: string) => Object.values(resources).filter(resource => resource.type === type)

test('autoscaling is 1 to 10 tasks at 50 requests a task, 60 and 300 seconds apart, and one task with the volume', () => {
  const { MinCapacity, MaxCapacity } = resources.ScalableTarget
  const unlessStopped = (shared: number) => ({
    ...{ when: 'Stopped', yes: 0 },
    no: { when: 'SharedLedger', yes: shared, no: 1 },
  })
  assert.deepEqual(MinCapacity, unlessStopped(1))
  assert.deepEqual(MaxCapacity, unlessStopped(10))
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
  assert.deepEqual([DesiredCount.when, DesiredCount.yes, DesiredCount.no.no], ['Stopped', 0, 1])
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
  const reporter = readFileSync(new URL('../../src/metering/reporter.ts', import.meta.url), 'utf8')
  const own = Object.values(resourcesOf(metering))
  for (const { type, Namespace, MetricName, Dimensions } of own) {
    assert.deepEqual([type, Namespace], ['AWS::CloudWatch::Alarm', NAMESPACE])
    assert.ok(reporter.includes(`'${MetricName.replace(/\.failed$/, '')}'`), MetricName)
    assert.deepEqual(
      Dimensions.map(({ Name }: Json) => Name),
      ['Service'],
    )
  }
  // What the operator's manual names, but for what only a gateway has; of events the dead letters are watched.
  const manual = readFileSync(new URL('../../src/cli/README.md', import.meta.url), 'utf8')
  const rows = [...manual.matchAll(/^\| `((?:marketplace|otel)\.[\w.]+)`.* \| (.*) \|$/gm)]
  const named = rows.flatMap(([, name = '', when = '']) =>
    /^for the dashboard/.test(when) || /\.(gateway|reconciliation|agreement)\.|not_counted/.test(name) ? [] : name,
  )
  assert.deepEqual(
    [...new Set(own.map(({ MetricName }) => MetricName.replace(/\.failed$/, '')))].sort(),
    [...new Set(named)].sort(),
  )
  for (const { AlarmName, AlarmActions } of [...own, ...ofType('AWS::CloudWatch::Alarm')])
    assert.ok(AlarmActions.length > 0, AlarmName)
})

/** A policy or a statement may depend on a condition. */
const given = (value: Json): Json => value.yes ?? value
const statements = ({ Policies }: Json): Json[] =>
  Policies.flatMap((policy: Json) => given(policy).PolicyDocument.Statement).map(given)
const actions = (role: Json): string[] => statements(role).flatMap(({ Action }) => Action)

test('the server may meter, register customers, and use its ledger, and nothing else', () => {
  const [metering, events, ledger] = resources.TaskRole.Policies
  assert.deepEqual(actions({ Policies: [metering] }), [
    'aws-marketplace:BatchMeterUsage',
    'aws-marketplace:GetEntitlements',
    'aws-marketplace:ResolveCustomer',
  ])
  assert.equal(events.when, 'HasLicences')
  const [queue, ...more] = statements({ Policies: [events] })
  assert.deepEqual([queue.Resource, more], [{ reference: 'EventsQueue' }, []])
  assert.equal(resources.TaskRole.Policies.length, 3)
  assert.equal(ledger.when, 'SharedLedger')
  const [table, key] = statements({ Policies: [ledger] })
  assert.deepEqual(table.Resource.when, 'RestoredLedger')
  assert.match(table.Resource.yes, /^arn:aws:dynamodb:us-east-1:\d{12}:table\/none$/)
  assert.deepEqual(table.Resource.no, { reference: 'LedgerTable' })
  assert.deepEqual(key.Resource, { reference: 'Key' })
  assert.deepEqual(key.Condition, { StringEquals: { 'kms:ViaService': 'dynamodb.us-east-1.amazonaws.com' } })
  assert.ok(key.Action.every((action: string) => action.startsWith('kms:')))
  for (const role of ofType('AWS::IAM::Role')) {
    for (const action of actions(role)) assert.ok(!action.includes('*'), action)
  }
  for (const name of ['ExecutionRole', 'InstanceRole', 'FlowLogRole']) {
    assert.ok(!actions(resources[name]).some(action => /^(aws-marketplace|dynamodb):/.test(action)))
  }
  const [{ Action, Resource }] = resources.ExecutionRole.Policies[0].PolicyDocument.Statement
  assert.deepEqual([Action, Resource], ['ecr:GetAuthorizationToken', '*'], 'only this one knows no resource')
})

/** The operations that the ledger's code sends, except those that make a table, which the template does. */
const sent = (() => {
  const folder = new URL('../../src/ledger/', import.meta.url)
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => /^dynamodb[./]/.test(file) && file.endsWith('.ts') && file !== 'dynamodb/definition.ts')
    .map(file => readFileSync(new URL(file, folder), 'utf8'))
  assert.ok(files.length > 10)
  const named = (pattern: RegExp) =>
    files.flatMap(file => [...file.matchAll(pattern)].map(([, name]) => name as string))
  return {
    operations: new Set(named(/\b(?<!type )([A-Z]\w+)Command\(/g)),
    // A transaction needs the actions of its parts: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    inTransactions: new Set(named(/\b(Put|Update|Delete|ConditionCheck): \{/g)),
  }
})()

test('the role has exactly the actions on the table that the ledger sends', () => {
  const { TransactWriteItems, ...single } = Object.fromEntries([...sent.operations].map(name => [name, name]))
  const parts = TransactWriteItems === undefined ? [] : [...sent.inTransactions].map(part => `${part}Item`)
  assert.deepEqual(
    actions(resources.TaskRole).filter(action => action.startsWith('dynamodb:')),
    [...new Set([...Object.keys(single), ...parts])].map(name => `dynamodb:${name}`).sort(),
  )
})

test('the alarm for errors of DynamoDB watches each operation that the ledger sends', () => {
  const watched = resources.LedgerErrorsAlarm.Metrics.flatMap(({ MetricStat }: Json) =>
    MetricStat ? [MetricStat.Metric.Dimensions[1].Value] : [],
  )
  // CloudWatch counts errors of what is done to items.
  assert.deepEqual(watched, [...sent.operations].filter(name => name !== 'DescribeTable').sort())
})

test("the shared ledger's table is as the package makes it, can be put back to any second, and outlives the stack", () => {
  const { AttributeDefinitions, KeySchema, BillingMode, DeletionProtectionEnabled, ...table } = resources.LedgerTable
  const { TableName: _, ...definition } = tableDefinition('ledger')
  assert.deepEqual({ AttributeDefinitions, KeySchema, BillingMode, DeletionProtectionEnabled }, definition)
  assert.equal(table.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled, true)
  assert.deepEqual(table.SSESpecification.KMSMasterKeyId, { reference: 'Key' })
  assert.deepEqual([table.deletionPolicy, table.updateReplacePolicy], ['Retain', 'Retain'])
  const expires = /EXPIRES = '(\w+)'/.exec(
    readFileSync(new URL('../../src/ledger/dynamodb/definition.ts', import.meta.url), 'utf8'),
  )?.[1]
  assert.deepEqual(table.TimeToLiveSpecification, { AttributeName: expires, Enabled: true })
})

test("the server is given its ledger's address", () => {
  const { Environment, MountPoints } = resources.TaskDefinition.ContainerDefinitions[0]
  const { Value } = Environment.find(({ Name }: Json) => Name === 'MARKETPLACE_LEDGER')
  assert.deepEqual([Value.when, Value.yes.when, Value.no], ['SharedLedger', 'RestoredLedger', '/ledger/ledger.sqlite'])
  assert.equal(ledgerName(Value.yes.yes), 'dynamodb://none')
  assert.equal(expectedOfLedger(Value.yes.yes), undefined)
  assert.match(text, /- !Sub "dynamodb:\/\/\$\{LedgerTable\}\?region=\$\{AWS::Region\}"\n/)
  assert.equal(MountPoints[0].when, 'VolumeLedger')
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

test('the load balancer speaks TLS, and logs who asked for what into a bucket that nobody else reads', () => {
  const attributes = Object.fromEntries(
    resources.LoadBalancer.LoadBalancerAttributes.map(({ Key, Value }: Json) => [Key, Value]),
  )
  assert.equal(attributes['access_logs.s3.enabled'], 'true')
  assert.deepEqual(attributes['access_logs.s3.bucket'], { reference: 'AccessLogs' })
  assert.match(text, /DependsOn: \[PublicRoute, AccessLogsPolicy\]/)
  const { Protocol, SslPolicy } = resources.HttpsListener
  assert.deepEqual([Protocol, /TLS13-1-2/.test(SslPolicy)], ['HTTPS', true])
  const { PublicAccessBlockConfiguration, BucketEncryption, LifecycleConfiguration, deletionPolicy } =
    resources.AccessLogs
  assert.deepEqual(Object.values(PublicAccessBlockConfiguration), Array(4).fill(true))
  // Access logs are delivered to no bucket with a KMS key.
  const [{ ServerSideEncryptionByDefault }] = BucketEncryption.ServerSideEncryptionConfiguration
  assert.deepEqual(ServerSideEncryptionByDefault, { SSEAlgorithm: 'AES256' })
  assert.equal(LifecycleConfiguration.Rules[0].Status, 'Enabled')
  assert.equal(deletionPolicy, 'Retain')
  const [write, deny, ...others] = resources.AccessLogsPolicy.PolicyDocument.Statement
  assert.deepEqual(others, [])
  assert.deepEqual(
    [write.Action, write.Principal],
    ['s3:PutObject', { Service: 'logdelivery.elasticloadbalancing.amazonaws.com' }],
  )
  assert.equal(deny.Effect, 'Deny')
})

test('the way to the ledger does not leave AWS, and leads to tables of this account only', () => {
  const { ServiceName, VpcEndpointType, RouteTableIds, PolicyDocument } = resources.LedgerEndpoint
  assert.deepEqual([ServiceName, VpcEndpointType], ['com.amazonaws.us-east-1.dynamodb', 'Gateway'])
  assert.deepEqual(RouteTableIds, [{ reference: 'PrivateRoutes' }])
  assert.match(PolicyDocument.Statement[0].Resource, /^arn:aws:dynamodb:us-east-1:\d{12}:table\/\*$/)
})

test('the parameters refuse latest, and what does not go together', () => {
  assert.match(text, /AllowedPattern: .\(\?!latest\$\)/)
  const functions = ['Equals', 'Not'].map(name => ({
    ...{ tag: `!${name}`, collection: 'seq' as const },
    resolve: (list: unknown) => ({ [name]: (list as YAMLSeq).toJSON() }),
  }))
  const section = text.slice(text.indexOf('\nRules:'), text.indexOf('\nConditions:'))
  const { Rules } = parse(section, { customTags: [...functions, { tag: '!Ref', resolve: (name: string) => name }] })
  const rules = Object.values<Json>(Rules).map(({ RuleCondition, Assertions }) => [RuleCondition, Assertions[0].Assert])
  assert.deepEqual(rules, [[{ Equals: ['Ledger', 'volume'] }, { Not: [{ Equals: ['InstanceImage', 'none'] }] }]])
})

/** The operations of SQS that the consumer sends. */
const sentToQueue = (() => {
  const client = readFileSync(new URL('../../src/agreements/queue/client.ts', import.meta.url), 'utf8')
  const operations = [...client.matchAll(/^ {2}([a-z]\w+)\(\n? *request: \{/gm)].map(([, name = '']) => name)
  assert.equal(operations.length, 4)
  return operations.map(name => `sqs:${name.charAt(0).toUpperCase()}${name.slice(1)}`).sort()
})()

test("AWS's events come into a queue that the rule alone may send to, and the server reads it in every variant", () => {
  const { EventsRule, EventsQueue, EventsDeadLetters, EventsQueuePolicy, EventsDeadLettersPolicy } = resources
  assert.deepEqual(EventsRule.EventPattern, { source: ['aws.agreement-marketplace'] })
  const [target, ...others] = EventsRule.Targets
  assert.deepEqual(
    [target.Arn, target.DeadLetterConfig.Arn, others],
    [...[{ reference: 'EventsQueue' }, { reference: 'EventsDeadLetters' }, []]],
  )
  const { deadLetterTargetArn, maxReceiveCount } = EventsQueue.RedrivePolicy
  assert.deepEqual([deadLetterTargetArn, maxReceiveCount], [{ reference: 'EventsDeadLetters' }, 10])
  for (const queue of [EventsQueue, EventsDeadLetters]) {
    assert.deepEqual([queue.SqsManagedSseEnabled, queue.MessageRetentionPeriod], [true, 14 * 24 * 3600])
  }
  assert.equal(EventsDeadLetters.deletionPolicy, 'Retain')
  for (const [policy, name] of [
    [EventsQueuePolicy, 'EventsQueue'],
    [EventsDeadLettersPolicy, 'EventsDeadLetters'],
  ]) {
    const [allow, deny, ...more] = policy.PolicyDocument.Statement
    assert.deepEqual([allow.Principal, allow.Action], [{ Service: 'events.amazonaws.com' }, 'sqs:SendMessage'])
    assert.deepEqual(allow.Condition, { ArnEquals: { 'aws:SourceArn': { reference: 'EventsRule' } } })
    assert.deepEqual([deny.Effect, deny.Condition], ['Deny', { Bool: { 'aws:SecureTransport': 'false' } }])
    assert.deepEqual([allow.Resource, deny.Resource, more], [{ reference: name }, { reference: name }, []])
  }
  assert.deepEqual(
    actions(resources.TaskRole).filter(action => action.startsWith('sqs:')),
    sentToQueue,
  )
  const { Environment } = resources.TaskDefinition.ContainerDefinitions[0]
  const variable = (name: string) => Environment.find(({ Name }: Json) => Name === name).Value
  assert.deepEqual(variable('EVENTS_QUEUE'), { when: 'HasLicences', yes: { reference: 'EventsQueue' }, no: '' })
  // With it buyers register, whatever the ledger is.
  assert.ok(variable('PRODUCT_CODE') !== undefined)
  const { EventsWaitAlarm, EventsDeadLettersAlarm } = resources
  assert.deepEqual(
    [EventsWaitAlarm, EventsDeadLettersAlarm].map(({ MetricName, Threshold, Dimensions }) => [
      ...[MetricName, Threshold, Dimensions[0].Value],
    ]),
    [
      ['ApproximateAgeOfOldestMessage', 600, { reference: 'EventsQueue' }],
      ['ApproximateNumberOfMessagesVisible', 0, { reference: 'EventsDeadLetters' }],
    ],
  )
})

test('in another region the same events are forwarded from us-east-1, by a role that may do nothing else', () => {
  const { Rule, Role, DeadLetters, DeadLettersPolicy, NotForwardedAlarm } = resourcesOf(forwarding)
  const [target] = Rule.Targets
  assert.deepEqual(Rule.EventPattern, resources.EventsRule.EventPattern)
  assert.deepEqual([target.RoleArn, target.DeadLetterConfig.Arn], [{ reference: 'Role' }, { reference: 'DeadLetters' }])
  assert.deepEqual(actions(Role), ['events:PutEvents'])
  assert.deepEqual(Role.Policies[0].PolicyDocument.Statement[0].Resource, target.Arn)
  assert.equal(DeadLetters.SqsManagedSseEnabled, true)
  const [allow] = DeadLettersPolicy.PolicyDocument.Statement
  assert.deepEqual(allow.Condition, { ArnEquals: { 'aws:SourceArn': { reference: 'Rule' } } })
  assert.deepEqual([NotForwardedAlarm.MetricName, NotForwardedAlarm.AlarmActions.length], ['FailedInvocations', 1])
})
