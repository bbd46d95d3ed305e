import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { Node } from 'typescript/unstable/ast'
import * as is from 'typescript/unstable/ast/is'
import { API } from 'typescript/unstable/sync'
import { hostileTexts } from './hostile-texts.ts'

/**
 * No pattern of the package takes more than linear time, whatever text it is given: one that takes its square is a
 * sender's way to stop everybody's billing.
 */

const ROOT = join(import.meta.dirname, '..')

/** How long the texts are: a linear pattern takes a millisecond for one, a quadratic one ten thousand million steps. */
const LENGTH = 100_000
/** For all texts of one pattern, in milliseconds: a hundred times what it takes. */
const LIMIT = 5000

interface Pattern {
  readonly source: string
  readonly flags: string
  /** Where it stands. */
  readonly where: string
  readonly splits: boolean
}

if (isMainThread) {
  const patterns = patternsOf(globSync(['src/**/*.ts', 'examples/**/*.ts'], { cwd: ROOT }))

  test('all patterns are found', () => {
    assert.ok(patterns.length > 100, `${patterns.length}`)
    for (const file of [
      'src/text/printable.ts',
      'src/marketplace/clock-skew.ts',
      'examples/inference-server/server.ts',
    ]) {
      assert.ok(
        patterns.some(({ where }) => where.startsWith(file)),
        file,
      )
    }
  })

  test('a pattern that takes the square of its text is found out', async () => {
    const slow = [/\s*\n\s*/g, /a+$/, /expired: [^(]*\(/, /x(?:\d+b?)*y/].map(({ source, flags }) => {
      return { source, flags, where: source, splits: false }
    })
    for (const pattern of slow) assert.deepEqual(await slowOf([pattern], 500, 300_000), pattern.where)
  })

  test('no pattern takes more than linear time', async () => {
    assert.equal(await slowOf(patterns, LIMIT, LENGTH), undefined)
  })
} else {
  const { patterns, length } = workerData as { patterns: readonly Pattern[]; length: number }
  for (const { where, splits, ...rest } of patterns) {
    parentPort?.postMessage(where)
    const pattern = new RegExp(rest.source, rest.flags)
    for (const text of hostileTexts(pattern, length)) {
      if (splits) text.split(pattern)
      else if (pattern.global) text.replace(pattern, '')
      else pattern.exec(text)
    }
  }
}

/** Where the first pattern stands that takes longer than the limit. */
async function slowOf(patterns: readonly Pattern[], limit: number, length: number): Promise<string | undefined> {
  const worker = new Worker(import.meta.filename, { workerData: { patterns, length } })
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
  let timer: NodeJS.Timeout | undefined
  worker.on('message', (where: string) => {
    clearTimeout(timer)
    timer = setTimeout(() => resolve(where), limit)
  })
  worker.on('error', reject)
  worker.on('exit', () => resolve(undefined))
  const slow = await promise
  clearTimeout(timer)
  await worker.terminate()
  return slow
}

/** The regular expressions that stand in files. */
function patternsOf(files: readonly string[]): Pattern[] {
  const api = new API({ cwd: ROOT })
  try {
    const patterns: Pattern[] = []
    // The page's script is of another one, with a browser's types.
    const projects = ['.', 'src/gateway/operations/page/browser'].flatMap(folder => [
      ...api.updateSnapshot({ openProject: join(ROOT, folder, 'tsconfig.json') }).getProjects(),
    ])
    for (const file of files) {
      const visit = (node: Node): void => {
        if (is.isRegularExpressionLiteral(node)) {
          const { text, parent } = node
          const end = text.lastIndexOf('/')
          patterns.push({
            ...{ source: text.slice(1, end), flags: text.slice(end + 1), where: `${file} ${text}` },
            splits: is.isCallExpression(parent) && parent.expression.getText().endsWith('.split'),
          })
        }
        node.forEachChild(visit)
      }
      const [source] = projects.flatMap(({ program }) => program.getSourceFile(join(ROOT, file)) ?? [])
      if (source === undefined) throw new Error(`Expected a file of one of the projects, got ${file}`)
      visit(source)
    }
    return patterns
  } finally {
    api.close()
  }
}
