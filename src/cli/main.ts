#!/usr/bin/env node
import { CommanderError } from 'commander'
import { CommandLineError, errorText } from './errors.ts'
import { endWhereUnwritable, printError } from './output.ts'
import { createProgram } from './program.ts'

endWhereUnwritable()

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
