import { GatewayConfigError } from '../gateway/config/errors.ts'
import { printError } from './output.ts'

/** Does something with a configuration file. What is wrong with it is printed as compilers do: a line for each problem. */
export async function withConfigErrors(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof GatewayConfigError)) throw error
    printError(error.message)
    process.exitCode = 1
  }
}
