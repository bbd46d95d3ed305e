import { hostname, userInfo } from 'node:os'

/** The operating system's user that this process runs as. */
export function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container's user may have no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

let known: string | undefined

/** The same with the machine, as the audit trail says it: whatever a person says of themselves. */
export function systemUser(): string {
  known ??= `${userName()}@${hostname()}`
  return known
}
