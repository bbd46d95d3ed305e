import { spawn } from 'node:child_process'
import type { Project } from './project.ts'

/** How long one test file may take, in milliseconds. */
const LIMIT = 240_000

export interface Verdict {
  readonly file: string
  readonly says: 'fails' | 'passes' | 'skipped' | 'does not run' | 'takes for ever'
  readonly seconds: number
  /** The first test that failed. */
  readonly test?: string
  readonly output: string
}

/** Runs tests of a project: a file, or after a `#` those of it whose name has a text. */
export async function judge(project: Project, tests: string, limit = LIMIT): Promise<Verdict> {
  const [file = '', name = '.'] = tests.split('#')
  const begun = performance.now()
  // Sequences need not be shrunk to be a failure; and a test that runs inside another must not know.
  const env = {
    ...process.env,
    ...{ PROPERTY_SHRINK: '0', NODE_TEST_CONTEXT: undefined, TEST_FILE_LIMIT: String(limit) },
  }
  const child = spawn(
    process.execPath,
    [
      ...['--test', '--test-reporter=tap', `--test-timeout=${limit}`, '--test-global-setup=test/file-limit.ts'],
      ...[`--test-name-pattern=${name}`, file],
    ],
    { cwd: project.folder, env, stdio: ['ignore', 'pipe', 'ignore'] },
  )
  let output = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text
  })
  const code = await new Promise(resolve => child.on('close', resolve))
  const seconds = (performance.now() - begun) / 1000
  // A file that cannot even be loaded fails under its own name: that is not what its tests are there to find.
  const test = [...output.matchAll(/^\s*not ok \d+ - (.*)$/gm)]
    .map(([, name]) => name)
    .find(name => !name?.endsWith(file))
  if (test !== undefined) return { file, says: 'fails', seconds, test, output }
  if (code !== 0) return { file, says: seconds * 1000 < limit ? 'does not run' : 'takes for ever', seconds, output }
  return { file, says: /^# pass 0$/m.test(output) ? 'skipped' : 'passes', seconds, output }
}

/** As many at once as there are jobs; results in the order of what was given. */
export async function inParallel<Given, Result>(
  all: readonly Given[],
  jobs: number,
  work: (one: Given) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const left = all.entries()
  const worker = async (): Promise<void> => {
    for (const [index, one] of left) results[index] = await work(one)
  }
  await Promise.all(Array.from({ length: jobs }, worker))
  return results
}
