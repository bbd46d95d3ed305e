import type { ChildProcess } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'

/**
 * Ends a test file that takes longer than any should: one that spins for ever gives the runner's own `--test-timeout`,
 * which is a timer of that file, no turn. The runner then reports it by its name. Loaded by `--test-global-setup` into
 * the runner, which has each file in a Node of its own; its other processes serve files, and live for longer. In
 * milliseconds.
 */
const LIMIT = Number(process.env.TEST_FILE_LIMIT ?? 300_000)

subscribe('child_process', message => {
  const { process: file } = message as { process: ChildProcess }
  const timer = setTimeout(() => {
    if (file.spawnfile === process.execPath && file.kill('SIGKILL'))
      console.error(`${file.spawnargs.at(-1)} was ended: it took longer than ${LIMIT / 1000} s`)
  }, LIMIT)
  timer.unref()
  file.once('exit', () => clearTimeout(timer))
})
