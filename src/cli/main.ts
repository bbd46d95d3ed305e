#!/usr/bin/env node
import { CommanderError } from 'commander'
import { errorText, failureJson } from './errors.ts'
import { FAILED } from './exit-status.ts'
import { asksForJson, endWhereUnwritable, printError, printErrorJson } from './output.ts'
import { createProgram } from './program.ts'

endWhereUnwritable()

try {
  await createProgram().parseAsync()
} catch (error) {
  const isCommanders = error instanceof CommanderError
  // Help and the version are no errors.
  if (!isCommanders || error.exitCode !== 0) {
    if (asksForJson(process.argv)) printErrorJson(failureJson(error))
    else if (!isCommanders) printError(errorText(error))
    process.exitCode = FAILED
  }
}
