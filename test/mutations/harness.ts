import { spawn } from 'node:child_process'
import type { Project } from './project.ts'

/** How long one test file may take. */
const TIMEOUT = 240_000

export interface Verdict {
  readonly file: string
  readonly says: 'fails' | 'passes' | 'skipped' | 'does not run'
  readonly seconds: number
  /** The first test that failed. */
  readonly test?: string
  readonly output: string
}

/** Runs tests of a project: a file, or after a `#` those of it whose name has a text. */
export async function judge(project: Project, tests: string): Promise<Verdict> {
  const [file = '', name = '.'] = tests.split('#')
  const begun = performance.now()
  // Sequences need not be shrunk to be a failure; and a test that runs inside another must not know.
  const env = { ...process.env, PROPERTY_SHRINK: '0', NODE_TEST_CONTEXT: undefined }
  const child = spawn(
    process.execPath,
    ['--test', '--test-reporter=tap', `--test-timeout=${TIMEOUT}`, `--test-name-pattern=${name}`, file],
    {
      ...{ cwd: project.folder, env, timeout: TIMEOUT + 10_000 },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
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
  if (code !== 0) return { file, says: 'does not run', seconds, output }
  return { file, says: /^# pass 0$/m.test(output) ? 'skipped' : 'passes', seconds, output }
}
