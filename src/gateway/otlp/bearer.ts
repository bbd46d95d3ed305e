import { createHash, timingSafeEqual } from 'node:crypto'

const SCHEME = /^bearer +/i

/** The tokens that are good. They are compared in a time that tells nothing of them. */
export class BearerTokens {
  readonly #digests: readonly Buffer[]

  constructor(tokens: readonly string[]) {
    this.#digests = tokens.map(digest)
  }

  /** Whether an `authorization` header carries one of them. */
  admit(authorization: string | undefined): boolean {
    if (authorization === undefined || !SCHEME.test(authorization)) return false
    const given = digest(authorization.replace(SCHEME, '').trimEnd())
    let admitted = false
    for (const known of this.#digests) admitted = timingSafeEqual(known, given) || admitted
    return admitted
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
