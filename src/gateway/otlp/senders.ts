import { createHash, timingSafeEqual } from 'node:crypto'

/** Who sends, and what it may bill. */
export interface Sender {
  /** What it is called in metrics, in the log and in the audit trail. */
  readonly name: string
  /** Whose usage it may send: customers' account ids, licence ARNs or identifiers. Without it, any customer's. */
  readonly customers?: ReadonlySet<string>
  /** What it may send usage of. Without it, all dimensions. */
  readonly dimensions?: ReadonlySet<string>
  /** How many customers and how many series it may have in a day: beyond, something is wrong with it. */
  readonly limits?: SenderLimits
}

export interface SenderLimits {
  readonly customers?: number
  readonly series?: number
}

/** A sender that is known by a bearer token. */
export interface TokenSender extends Sender {
  readonly token: string
}

const SCHEME = /^bearer +/i

/** Who sends where no token is asked for: everybody who reaches the gateway, or has a certificate, is one sender. */
export const ANYONE: Sender = { name: 'anyone' }

/** Those who may send, each by its token. Tokens are compared in a time that tells nothing of them. */
export class Senders {
  #known: readonly { readonly digest: Buffer; readonly sender: Sender }[] | undefined

  /** @param senders without them everybody is let in, as `ANYONE` */
  constructor(senders?: readonly TokenSender[]) {
    this.replace(senders)
  }

  /** From now on these are let in, and nobody else. */
  replace(senders: readonly TokenSender[] | undefined): void {
    this.#known = senders?.map(({ token, ...sender }) => ({ digest: digest(token), sender }))
  }

  /** Whether a token is asked for. */
  get asked(): boolean {
    return this.#known !== undefined
  }

  /** Whose token an `authorization` header carries. */
  admit(authorization: string | undefined): Sender | undefined {
    if (this.#known === undefined) return ANYONE
    if (authorization === undefined || !SCHEME.test(authorization)) return undefined
    const given = digest(authorization.replace(SCHEME, '').trimEnd())
    let admitted: Sender | undefined
    for (const { digest, sender } of this.#known) if (timingSafeEqual(digest, given)) admitted = sender
    return admitted
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
