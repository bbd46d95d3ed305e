/** One line of the table: what this package's side of it comes to, beside its peer's. */
export interface Row {
  readonly name: string
  readonly against: string
  readonly ours: string
  readonly theirs: string
  /** What is judged. Of a row without a peer, the figure itself. */
  readonly ratio: number
  /** What must be reached; undefined of what is only told. */
  readonly limit?: number | undefined
  /** What is wanted. */
  readonly aim: number
  readonly better: 'lower' | 'higher'
  /** What the figures were taken from, for whoever reads the table. */
  readonly note?: string
}

export interface Benchmark {
  /** The names of the rows that `run` measures. */
  readonly rows: readonly string[]
  run(): Promise<Row[]>
}

const reaches = ({ ratio, better }: Row, bound: number) => (better === 'lower' ? ratio <= bound : ratio >= bound)

export function verdict(row: Row): 'aim' | 'ok' | 'MISSED' | 'told' {
  if (reaches(row, row.aim)) return 'aim'
  if (row.limit === undefined) return 'told'
  return reaches(row, row.limit) ? 'ok' : 'MISSED'
}
