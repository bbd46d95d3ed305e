#!/usr/bin/env node
import { CommanderError } from 'commander'
import { CommandLineError, errorText } from './errors.ts'
import { printError } from './output.ts'
import { createProgram } from './program.ts'

// Whoever reads may stop early: `marketplace-meter records | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit()
  printError(`error: The output cannot be written: ${error.message}. What the command was to do is done.`)
  process.exit(1)
})
// Then there is nowhere left to say it, and a gateway goes on.
process.stderr.on('error', () => {})

try {
  await createProgram().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2
  } else {
    printError(errorText(error))
    process.exitCode = error instanceof CommandLineError ? 2 : 1
  }
}
