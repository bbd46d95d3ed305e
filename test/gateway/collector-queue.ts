import { appendFileSync, closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'

export interface QueueItem {
  readonly id: number
  readonly body: Uint8Array
}

type Line = { put: number; body: string } | { taken: number } | { done: number }

/**
 * A queue in a file, as a Collector's persistent one: what was taken and not done when its process ended comes again,
 * after all the rest.
 */
export class CollectorQueue {
  readonly #file: number
  readonly #waiting: QueueItem[]
  readonly #taken = new Set<number>()
  #last = 0

  constructor(path: string) {
    this.#waiting = existsSync(path) ? left(readFileSync(path, 'utf8')) : []
    writeFileSync(path, '')
    this.#file = openSync(path, 'a')
    for (const item of this.#waiting) this.#putLine(item)
    this.#last = Math.max(0, ...this.#waiting.map(({ id }) => id))
  }

  /** How many there are, those that were taken included. */
  get size(): number {
    return this.#waiting.length + this.#taken.size
  }

  put(body: Uint8Array): void {
    const item = { id: ++this.#last, body }
    this.#putLine(item)
    this.#waiting.push(item)
  }

  take(): QueueItem | undefined {
    const item = this.#waiting.shift()
    if (item === undefined) return undefined
    this.#write({ taken: item.id })
    this.#taken.add(item.id)
    return item
  }

  done(id: number): void {
    this.#write({ done: id })
    this.#taken.delete(id)
  }

  close(): void {
    closeSync(this.#file)
  }

  #putLine({ id, body }: QueueItem): void {
    this.#write({ put: id, body: Buffer.from(body).toString('base64') })
  }

  #write(line: Line): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`)
  }
}

function left(text: string): QueueItem[] {
  const untouched = new Map<number, QueueItem>()
  const taken = new Map<number, QueueItem>()
  for (const row of text.split('\n').slice(0, -1)) {
    const line = JSON.parse(row) as Line
    if ('put' in line) {
      untouched.set(line.put, { id: line.put, body: Buffer.from(line.body, 'base64') })
    } else if ('taken' in line) {
      taken.set(line.taken, untouched.get(line.taken) as QueueItem)
      untouched.delete(line.taken)
    } else {
      taken.delete(line.done)
    }
  }
  return [...untouched.values(), ...taken.values()]
}
