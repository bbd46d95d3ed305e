/** A configuration with no more than is needed. */
export const MINIMAL = `productCode: prod
region: us-east-1
ledger: ledger.sqlite
dimensions:
  tokens: { unit: '{token}', per: 1000, from: vllm.tokens }
`
