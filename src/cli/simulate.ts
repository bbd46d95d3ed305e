import { Command, InvalidArgumentError, Option } from 'commander'
import {
  CONTROL_PATH,
  ENTITLEMENT_FAULT_KINDS,
  EVENT_FAULT_KINDS,
  FAULT_KINDS,
  type Fault,
  parseFault,
  parseUndocumented,
  type RunningSimulator,
  readCatalogue,
  SimulatorConfigurationError,
  startSimulator,
  TRAIL_FAULT_KINDS,
  UNDOCUMENTED,
  type Undocumented,
} from '../simulator/index.ts'
import type { Simulating } from './json.ts'
import { example } from './options.ts'
import { type FormatOptions, isJson, print, printReady } from './output.ts'

const DEFAULT_PORT = 8480

interface Options extends FormatOptions {
  port: number
  host: string
  catalogue?: string
  fault: Fault[]
  undocumented: Partial<Undocumented>
  quota: number | 'off'
  clock?: string
  seed?: number
}

const QUESTIONS = Object.entries(UNDOCUMENTED)
  .map(([question, answers]) => `${question}=${answers.join('|')}`)
  .join(', ')

const FAULTS = [...FAULT_KINDS, ...EVENT_FAULT_KINDS, ...TRAIL_FAULT_KINDS, ...ENTITLEMENT_FAULT_KINDS].join(', ')

/** A commander argument parser out of one that throws a {@link SimulatorConfigurationError}. */
function argument<Value>(parse: (text: string, previous: Value) => Value) {
  return (text: string, previous: Value): Value => {
    try {
      return parse(text, previous)
    } catch (error) {
      if (error instanceof SimulatorConfigurationError) throw new InvalidArgumentError(error.message)
      throw error
    }
  }
}

const integer = (most: number) =>
  argument<number>(text => {
    if (/^\d+$/.test(text) && Number(text) <= most) return Number(text)
    throw new SimulatorConfigurationError(`Expected an integer from 0 to ${most} but received ${text}.`)
  })

const quota = argument<number | 'off'>(text => {
  if (text === 'off') return text
  if (Number(text) > 0) return Number(text)
  throw new SimulatorConfigurationError(`Expected a number above 0, or off, but received ${text}.`)
})

/** The command `simulate`: AWS Marketplace Metering on this machine, until SIGINT or SIGTERM. */
export function simulateCommand(): Command {
  return new Command('simulate')
    .description('run AWS Marketplace Metering on this machine')
    .option('--port <number>', 'port to listen on; 0 for any that is free', integer(65_535), DEFAULT_PORT)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--catalogue <file>', 'JSON file of products, customers and tokens; what it does not declare is accepted')
    .addOption(
      new Option(
        '--fault <kind=rate>',
        `switch a fault on, such as throttling=0.1 or latency:250=0.5; may be repeated (${FAULTS})`,
      )
        .argParser(argument<Fault[]>((text, faults) => [...faults, parseFault(text)]))
        .default([], 'none'),
    )
    .option('--quota <number>', 'requests a second for each operation and region, or off', quota, 10)
    .addOption(
      new Option(
        '--undocumented <question=answer>',
        `what to answer where AWS does not say; may be repeated (${QUESTIONS})`,
      )
        .argParser(argument<Partial<Undocumented>>((text, before) => ({ ...before, ...parseUndocumented(text) })))
        .default({}, 'the first of each'),
    )
    .option('--clock <time>', 'ISO 8601 time at which the clock stands until it is advanced')
    .option('--seed <number>', 'makes the faults of a run repeat', integer(2 ** 32 - 1))
    .addHelpText('after', example('marketplace-meter simulate --port 0 --fault throttling=0.1 --seed 1'))
    .action(async (options: Options, command: Command) => {
      try {
        await simulate(options)
      } catch (error) {
        if (error instanceof SimulatorConfigurationError) command.error(`error: ${error.message}`)
        throw error
      }
    })
}

async function simulate(options: Options): Promise<void> {
  const { port, host, quota, fault: faults, undocumented } = options
  const running = await startSimulator({
    port,
    host,
    quota: quota === 'off' ? null : quota,
    faults,
    undocumented,
    ...(options.catalogue !== undefined && { catalogue: readCatalogue(options.catalogue) }),
    ...(options.seed !== undefined && { seed: options.seed }),
    ...(options.clock !== undefined && { clock: options.clock }),
  })
  const { url, queueUrl, simulator } = running
  const stopped = new Promise<void>(resolve => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  printReady<Simulating>(options, { url, queueUrl, controlUrl: `${url}${CONTROL_PATH}`, seed: simulator.seed })
  if (!isJson(options)) print(greeting(running))
  await stopped
  await running.close()
}

const greeting = ({ url, queueUrl, simulator }: RunningSimulator) =>
  `AWS Marketplace Metering is simulated at ${url} (seed ${simulator.seed})

Point any AWS SDK at it:
  export AWS_ENDPOINT_URL_MARKETPLACE_METERING=${url}
  export AWS_ENDPOINT_URL_MARKETPLACE_ENTITLEMENT_SERVICE=${url}
  export AWS_ENDPOINT_URL_CLOUDTRAIL=${url}
  export AWS_ACCESS_KEY_ID=simulated AWS_SECRET_ACCESS_KEY=simulated AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1

What does not read the first of them, such as an older AWS CLI or boto3, is told:
  aws meteringmarketplace batch-meter-usage --endpoint-url ${url} …

What AWS tells of agreements, over SQS's wire:
  aws sqs receive-message --endpoint-url ${url} --queue-url ${queueUrl}

What CloudTrail writes of it, which "marketplace-meter reconcile --cloudtrail" asks:
  aws cloudtrail lookup-events --endpoint-url ${url} --lookup-attributes AttributeKey=EventName,AttributeValue=BatchMeterUsage

What it has billed:
  curl ${url}${CONTROL_PATH}/totals

A customer subscribes; what else there is to do, ${url}${CONTROL_PATH} lists, and an error names what a request takes:
  curl ${url}${CONTROL_PATH}/subscriptions -H 'content-type: application/json' -d '{"product": "code", "accountId": "123456789012"}'`
