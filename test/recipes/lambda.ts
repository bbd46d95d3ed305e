import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { clockAhead } from '../examples/aws-clock-ahead.ts'
import { DynamoDBLocal } from '../ledger/dynamodb/server.ts'
import type { Project } from '../package/project.ts'
import { KEYS, type Outcome, sentTimes, World } from './bill.ts'
import type { Recipe } from './document.ts'

/** AWS's own runtime client, which has a function's process run by Lambda. It is compiled: some minutes. */
const RUNTIME = 'aws-lambda-ric@4.0.2'

/**
 * An instance of a function as Lambda treats it: it runs while it has an event, is frozen when it has answered, and ends,
 * frozen, without a word.
 */
class Instance implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #api: Server
  #waiting = Promise.withResolvers<ServerResponse>()
  #answer = Promise.withResolvers<unknown>()
  #requests = 0

  private constructor(api: Server, process: ChildProcess) {
    this.#api = api
    this.#process = process
    process.once('exit', code => this.#answer.reject(new Error(`the function has ended with ${code}`)))
    api.on('request', async (request, response) => {
      if (request.url?.endsWith('/invocation/next')) {
        this.#waiting.resolve(response)
        return
      }
      const body = await json(request).catch(() => undefined)
      response.writeHead(202).end()
      if (request.url?.endsWith('/response')) this.#answer.resolve(body)
      else this.#answer.reject(new Error(`${request.url}: ${JSON.stringify(body)}`))
    })
  }

  static async start(project: Project, env: NodeJS.ProcessEnv): Promise<Instance> {
    const api = createServer().listen(0, '127.0.0.1')
    await once(api, 'listening')
    const client = ['node_modules/aws-lambda-ric/index.mjs']
    const child = spawn(process.execPath, client, {
      cwd: project.folder,
      env: {
        ...{ ...project.env, ...env, AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${(api.address() as AddressInfo).port}` },
        ...{
          _HANDLER: 'index.handler',
          LAMBDA_TASK_ROOT: project.folder,
          AWS_LAMBDA_FUNCTION_NAME: 'answer',
          AWS_LAMBDA_FUNCTION_VERSION: '1',
        },
        ...{
          AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
          AWS_LAMBDA_LOG_GROUP_NAME: 'log',
          AWS_LAMBDA_LOG_STREAM_NAME: 'log',
        },
      },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    return new Instance(api, child)
  }

  async invoke(event: object): Promise<unknown> {
    this.#process.kill('SIGCONT')
    const next = await Promise.race([this.#waiting.promise, this.#answer.promise])
    this.#waiting = Promise.withResolvers()
    this.#requests += 1
    const headers = {
      'content-type': 'application/json',
      'lambda-runtime-aws-request-id': String(this.#requests),
      'lambda-runtime-deadline-ms': String(Date.now() + 30_000),
      'lambda-runtime-invoked-function-arn': 'arn:aws:lambda:us-east-1:123456789012:function:answer',
      'lambda-runtime-trace-id': 'Root=1-00000000-000000000000000000000000',
    }
    ;(next as ServerResponse).writeHead(200, headers).end(JSON.stringify(event))
    const answer = await this.#answer.promise
    this.#answer = Promise.withResolvers()
    this.#process.kill('SIGSTOP')
    return answer
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#answer.promise.catch(() => {})
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGKILL')
      await once(this.#process, 'exit')
    }
    this.#api.close()
    this.#api.closeAllConnections()
  }
}

/**
 * Two instances answer the requests and are dropped; an hour later a third is called by the schedule, and bills. The ledger is
 * on DynamoDB.
 */
export async function billsInvocations(project: Project, { start }: Recipe): Promise<readonly Outcome[]> {
  await using world = await World.begin()
  await using database = await DynamoDBLocal.start()
  const table = await database.table(database.client())
  const proxy = await clockAhead(database.endpoint, () => world.ahead)
  try {
    assert.match(project.run('sh', '-c', `AWS_REGION=us-east-1 ${start}`), /an answer/)
    project.run('npm', 'install', '--no-audit', '--no-fund', RUNTIME)
    console.log(`${RUNTIME} is there`)
    const env = () => ({
      ...{ ...world.env, ...database.env, MARKETPLACE_LEDGER: `dynamodb://${table}` },
      AWS_ENDPOINT_URL_DYNAMODB: proxy.url,
    })
    for (const part of [KEYS.filter((_, index) => index % 3 === 0), KEYS.filter((_, index) => index % 3 !== 0)]) {
      await using instance = await Instance.start(project, env())
      for (const key of part) {
        const answer = await instance.invoke({ headers: { authorization: `Bearer ${key}` } })
        assert.deepEqual(answer, { statusCode: 200, body: 'an answer' })
      }
      assert.deepEqual(await instance.invoke({ headers: {} }), { statusCode: 401 })
    }
    world.anHourLater()
    await using instance = await Instance.start(project, env())
    assert.equal(await instance.invoke({}), null)
  } finally {
    proxy.close()
  }
  return [{ sent: sentTimes(1), billed: world.billed }]
}
