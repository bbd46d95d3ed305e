import { seeded, shuffled } from '../../src/simulator/random.ts'
import { testsOf } from './areas.ts'
import { inParallel, judge, type Verdict } from './harness.ts'
import { type Mutant, mutantsOf } from './mutants.ts'
import { Project, ROOT } from './project.ts'

/** A mutant that takes so much longer than no mutant spins for ever. */
const PATIENCE = { times: 3, milliseconds: 5000 }

export interface RandomOptions {
  readonly count: number
  /** The same mutants for the same seed, as long as the files are the same. */
  readonly seed: number
  readonly files: readonly string[]
  readonly jobs: number
  readonly json: boolean
}

/** Makes mutants at random, one at a time, and prints which of them the tests of their area notice. */
export async function randomMutations({ count, seed, files, jobs, json }: RandomOptions): Promise<void> {
  const possible = mutantsOf(ROOT, files)
  const mutants = shuffled(possible, seeded(seed)).slice(0, count)
  const tests = [...new Set(mutants.flatMap(({ file }) => testsOf(file, ROOT)))]
  const projects = Array.from({ length: jobs }, () => new Project())
  const inProject = async <Result>(work: (project: Project) => Promise<Result>): Promise<Result> => {
    const project = projects.pop() as Project
    try {
      return await work(project)
    } finally {
      projects.push(project)
    }
  }
  try {
    const usual = new Map<string, number>()
    for (const { file, says, seconds, test } of await inParallel(tests, jobs, one => inProject(p => judge(p, one)))) {
      if (says === 'passes') usual.set(file, seconds * 1000)
      else console.error(`${file} ${says} without any mutation and is left out: ${test ?? ''}`)
    }
    const results = await inParallel(mutants, jobs, mutant =>
      inProject(async project => {
        const verdict = await verdictOn(mutant, project, usual)
        if (!json) console.log(`${verdict ? verdict.says.padEnd(14) : 'SURVIVES      '} ${described(mutant)}`)
        return { ...mutant, verdict }
      }),
    )
    const survivors = results.filter(({ verdict }) => verdict === undefined)
    const spinning = results.filter(({ verdict }) => verdict?.says === 'takes for ever').length
    const caught = results.length - survivors.length
    if (json) {
      console.log(JSON.stringify({ seed, possible: possible.length, caught, spinning, survivors }, null, 2))
    } else {
      console.log(`\nSurvivors:\n${survivors.map(described).join('\n')}`)
      console.log(
        `${caught} of ${results.length} are caught (${((100 * caught) / results.length).toFixed(0)} %), ${spinning} of ` +
          `them because they never end; ${possible.length} are possible in ${files.length} files; seed ${seed}.`,
      )
    }
  } finally {
    for (const project of projects) project[Symbol.dispose]()
  }
}

/** Of the first test file that notices it: the quickest are asked first. */
async function verdictOn(
  mutant: Mutant,
  project: Project,
  usual: ReadonlyMap<string, number>,
): Promise<Omit<Verdict, 'output'> | undefined> {
  const takeBack = project.mutate(mutant)
  try {
    const files = testsOf(mutant.file, ROOT).filter(file => usual.has(file))
    const time = (file: string) => usual.get(file) as number
    for (const file of files.sort((a, b) => time(a) - time(b))) {
      const limit = PATIENCE.times * time(file) + PATIENCE.milliseconds
      const { output: _, ...verdict } = await judge(project, file, limit)
      if (verdict.says !== 'passes') return verdict
    }
    return undefined
  } finally {
    takeBack()
  }
}

function described({ file, line, text, instead }: Mutant): string {
  const short = (code: string) => {
    const flat = code.replace(/\s+/g, ' ')
    return flat.length > 100 ? `${flat.slice(0, 70)} … ${flat.slice(-25)}` : flat
  }
  return `${file}:${line}  ${short(text)}  →  ${short(instead)}`
}
