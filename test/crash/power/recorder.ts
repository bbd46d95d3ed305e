import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Mutation, mutated } from '../mutation.ts'
import { type LogEntry, readLog } from './log.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Why nothing can be recorded on this machine, if it cannot. */
export function whyNotHere(): string | undefined {
  if (process.platform !== 'linux') return `recording writes needs Linux, this is ${process.platform}`
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'recording writes needs a C compiler, and there is no cc'
  }
}

/** Builds the recorder into a folder. */
export function buildRecorder(folder: string): string {
  const library = join(folder, 'recorder.so')
  execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', library, here('recorder.c'), '-ldl', '-pthread'])
  return library
}

/** Runs the processes that append the first `batches`, and returns all that they did to the disk. */
export async function recordWrites(
  recorder: string,
  folder: string,
  batches: number,
  mutation?: Mutation,
): Promise<LogEntry[]> {
  mkdirSync(folder)
  const log = `${folder}.log`
  const half = Math.floor(batches / 2)
  for (const [from, to] of [
    [1, half],
    [half + 1, batches],
  ]) {
    const child = spawn(process.execPath, [...mutated(mutation), here('child.ts'), folder, String(from), String(to)], {
      env: { ...process.env, LD_PRELOAD: recorder, RECORD_FOLDER: folder, RECORD_LOG: log },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [code, signal] = await once(child, 'exit')
    if (signal !== 'SIGKILL') throw new Error(`The recorded process ended with ${code ?? signal}.`)
  }
  const entries = readLog(log)
  rmSync(folder, { recursive: true })
  rmSync(log)
  return entries
}
