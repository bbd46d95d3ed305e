import type { Agreement } from '../../ledger/ledger.ts'
import type { CustomerAccount } from '../../usage/account.ts'

/**
 * Which of AWS's names and the ledger's are of one product: AWS's id `prod-…` or code, and the ledger's code or label. Only
 * what somebody has said joins them: a person, or an agreement that both name.
 */
export class Products {
  /** Each name's other one; the last of a chain stands for all. */
  readonly #same = new Map<string, string>()
  readonly #agreements = new Map<string, CustomerAccount>()
  readonly #reported = new Set<string>()

  /** @param said AWS's names, with the ledger's */
  constructor(said: ReadonlyMap<string, string>, agreements: readonly Agreement[]) {
    for (const { account, agreementId, productCode } of agreements) {
      if (agreementId !== undefined) this.#agreements.set(agreementId, account)
      if (productCode !== undefined) this.#join(account.product, productCode)
    }
    for (const [reported, known] of said) this.#join(reported, known)
    for (const reported of said.keys()) this.#reported.add(reported)
  }

  /** Takes in that the report has a product, and perhaps under which agreement. */
  see(product: string, agreementId: string | undefined): void {
    this.#reported.add(product)
    const account = agreementId === undefined ? undefined : this.#agreements.get(agreementId)
    if (account !== undefined && product !== '') this.#join(product, account.product)
  }

  /** One name for all of a product's. */
  nameOf(product: string): string {
    let name = product
    for (let next = this.#same.get(name); next !== undefined; next = this.#same.get(name)) name = next
    return name
  }

  /** The names of the products that the report has, or could have. */
  reported(): Set<string> {
    return new Set([...this.#reported].filter(name => name !== '').map(name => this.nameOf(name)))
  }

  #join(one: string, other: string): void {
    const [a, b] = [this.nameOf(one), this.nameOf(other)]
    if (a !== b) this.#same.set(a, b)
  }
}
