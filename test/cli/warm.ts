/**
 * A process that runs the command line again and again: what it imports is there already. Each time `main.ts` itself is
 * evaluated anew, with arguments, environment, output and exit status of its own.
 */

interface Run {
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
}

let runs = 0
const collected = { stdout: '', stderr: '' }

for (const name of ['stdout', 'stderr'] as const) {
  const stream = process[name]
  stream.setMaxListeners(0)
  stream.write = ((text: string | Uint8Array) => {
    collected[name] += typeof text === 'string' ? text : Buffer.from(text).toString()
    return true
  }) as typeof stream.write
}

process.on('message', async ({ args, env, cwd }: Run) => {
  runs += 1
  Object.assign(collected, { stdout: '', stderr: '' })
  process.argv.splice(2, Number.POSITIVE_INFINITY, ...args)
  for (const key of Object.keys(process.env)) delete process.env[key]
  Object.assign(process.env, env)
  process.exitCode = undefined
  process.chdir(cwd)
  await import(`../../src/cli/main.ts?run=${runs}`)
  process.send?.({ ...collected, status: process.exitCode ?? 0 })
})

// A command may end the process: what it has said goes before.
process.on('exit', status => {
  process.send?.({ ...collected, status })
})
