import type { Caller } from './event.ts'

/** An ARN of who calls AWS: a role, a user or a session. */
export const CALLER = /^arn:[\w-]+:(iam|sts)::\d{12}:\S+$/

const ROLE = /^arn:([^:]+):iam::(\d+):role\/(?:[^/]+\/)*([^/]+)$/
const SESSION = /^arn:([^:]+):sts::(\d+):assumed-role\/([^/]+)(\/.+)?$/

/** A role, or that of a session, as roles are told apart: an account has one of a name, whatever its path and case. */
function roleOf(arn: string): string | undefined {
  const [, partition, account, name] = ROLE.exec(arn) ?? SESSION.exec(arn) ?? []
  return name && `${partition} ${account} ${name.toLowerCase()}`
}

/** Whose calls are this ledger's, by the ARNs of roles, users or sessions that a person has named. */
export class Callers {
  readonly #named = new Set<string>()
  /** Roles of which a session is named: their other sessions may be this ledger's, too. */
  readonly #roles = new Set<string>()
  readonly #shared = new Set<string>()
  readonly #names = new Map<Caller, string | undefined>()
  /** Whether any call is by one that is named; where none is, the name is wrong. */
  readonly #found: boolean

  /** @param all who has called */
  constructor(arns: readonly string[], all: readonly Caller[]) {
    for (const arn of arns) {
      const role = roleOf(arn)
      const session = SESSION.exec(arn)?.[4] !== undefined
      this.#named.add(session || role === undefined ? arn : role)
      if (session && role !== undefined) this.#roles.add(role)
    }
    this.#found = all.some(caller => this.isOurs(caller))
  }

  isOurs(caller: Caller): boolean {
    return this.#nameOf(caller) !== undefined
  }

  /** Whose a call is, where that is beyond doubt. */
  surely(caller: Caller): 'ours' | 'theirs' | undefined {
    const name = this.#nameOf(caller)
    if (name !== undefined) return this.#shared.has(name) ? undefined : 'ours'
    return this.#found && !this.#roles.has(roleOf(caller.principal) ?? '') ? 'theirs' : undefined
  }

  /** Somebody else calls with these credentials, too. */
  share(caller: Caller): void {
    const name = this.#nameOf(caller)
    if (name !== undefined) this.#shared.add(name)
  }

  #nameOf(caller: Caller): string | undefined {
    if (this.#names.has(caller)) return this.#names.get(caller)
    const { arn, principal } = caller
    const name = [arn, principal, roleOf(principal) ?? ''].find(one => this.#named.has(one))
    this.#names.set(caller, name)
    return name
  }
}
