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
  readonly customers?: number | undefined
  readonly series?: number | undefined
}

/** A sender that is known by a bearer token. */
export interface TokenSender extends Sender {
  readonly token: string
}

const SCHEME = /^bearer +/i

/** Who sends where no token is asked for: everybody who reaches the gateway is one sender. */
export const ANYONE: Sender = { name: 'anyone' }
/** Everybody who has a certificate. */
export const CERTIFIED: Sender = { name: 'certificate' }

/** Those who may send, each by its token. Tokens are compared in a time that tells nothing of them. */
export class Senders {
  #known: readonly { readonly digest: Buffer; readonly sender: Sender }[] | undefined

  readonly #unnamed: Sender

  /** @param unnamed who sends without a token, where there are no senders with one */
  constructor(senders?: readonly TokenSender[], unnamed = ANYONE) {
    this.#unnamed = unnamed
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

  /** Whose share of what there is for requests one may use. Undefined where there are no others to keep some for. */
  shareOf({ name }: Sender): string | undefined {
    return (this.#known?.length ?? 0) > 1 ? name : undefined
  }

  /** Whose token an `authorization` header carries. */
  admit(authorization: string | undefined): Sender | undefined {
    if (this.#known === undefined) return this.#unnamed
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
