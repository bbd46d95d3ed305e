import { basename } from 'node:path'
import type { Random } from '../../../src/simulator/random.ts'
import type { LogEntry } from './log.ts'

/**
 * A disk that keeps its promises and not more: what was synced is there after a power cut. Of what was written since,
 * each sector may hold any of its versions, and of the names that were made, changed and deleted since the folder was
 * synced only the first few may have come through.
 */
export class Disk {
  readonly #folder: string
  /** What the process sees. */
  #names = new Map<string, File>()
  /** What is there after a cut, but for the changes. */
  #syncedNames = new Map<string, File>()
  #nameChanges: ((names: Map<string, File>) => void)[] = []
  #open = new Map<number, File | 'folder'>()

  /** @param folder the name of the folder itself */
  constructor(folder: string) {
    this.#folder = basename(folder)
  }

  apply(entry: LogEntry): void {
    switch (entry.type) {
      case 'begin':
        this.#open.clear()
        break
      case 'open':
        this.#open.set(entry.file, entry.name === this.#folder ? 'folder' : this.#fileOf(entry.name))
        break
      case 'write':
      case 'truncate':
        this.#fileAt(entry.file)?.change(entry.type === 'write' ? entry : { length: entry.length })
        break
      case 'sync':
        if (this.#open.get(entry.file) === 'folder') this.#syncNames()
        else this.#fileAt(entry.file)?.sync()
        break
      case 'unlink':
        this.#changeNames(names => names.delete(entry.name))
        break
      case 'rename':
        this.#changeNames(names => {
          const file = names.get(entry.from)
          if (file !== undefined) names.set(entry.to, file)
          names.delete(entry.from)
        })
    }
  }

  /** What a power cut might leave, by name. */
  afterCut(random: Random): Map<string, Buffer> {
    const mode = pick(random, ['nothing', 'first', 'sectors', 'sectors'] as const)
    const sector = pick(random, [512, 4096])
    const names = new Map(this.#syncedNames)
    const cameThrough = mode === 'nothing' ? 0 : Math.floor(random() * (this.#nameChanges.length + 1))
    for (const change of this.#nameChanges.slice(0, cameThrough)) change(names)
    return new Map([...names].map(([name, file]) => [name, file.afterCut(mode, sector, random)]))
  }

  #fileOf(name: string): File {
    const found = this.#names.get(name)
    if (found !== undefined) return found
    const file = new File()
    this.#changeNames(names => names.set(name, file))
    return file
  }

  #fileAt(number: number): File | undefined {
    const file = this.#open.get(number)
    return file === 'folder' ? undefined : file
  }

  #changeNames(change: (names: Map<string, File>) => void): void {
    change(this.#names)
    this.#nameChanges.push(change)
  }

  #syncNames(): void {
    for (const change of this.#nameChanges) change(this.#syncedNames)
    this.#nameChanges = []
  }
}

type Change = { readonly offset: number; readonly bytes: Buffer } | { readonly length: number }

class File {
  #synced: Buffer = Buffer.alloc(0)
  /** Since the last sync, in order. */
  #changes: Change[] = []

  change(change: Change): void {
    this.#changes.push(change)
  }

  sync(): void {
    for (const change of this.#changes) this.#synced = changed(this.#synced, change)
    this.#changes = []
  }

  afterCut(mode: 'nothing' | 'first' | 'sectors', sector: number, random: Random): Buffer {
    let content: Buffer = Buffer.from(this.#synced)
    const count = this.#changes.length
    if (mode === 'nothing' || count === 0) return content
    const first = Math.floor(random() * (count + 1))
    // For each sector, how many of the changes had happened when the disk last took it; so too for the length.
    const versions = new Map<number, number>()
    const versionOf = (index: number) => {
      if (mode === 'first') return first
      let version = versions.get(index)
      if (version === undefined) {
        version = pick(random, [0, count, Math.floor(random() * (count + 1))])
        versions.set(index, version)
      }
      return version
    }
    for (const [index, change] of this.#changes.entries()) {
      if ('length' in change) {
        if (index < versionOf(-1)) content = changed(content, change)
        continue
      }
      const end = change.offset + change.bytes.length
      for (let from = change.offset; from < end; ) {
        const to = Math.min(end, from - (from % sector) + sector)
        const bytes = change.bytes.subarray(from - change.offset, to - change.offset)
        if (index < versionOf(Math.floor(from / sector))) content = changed(content, { offset: from, bytes })
        from = to
      }
    }
    return content
  }
}

function changed(content: Buffer, change: Change): Buffer {
  const length = 'length' in change ? change.length : Math.max(content.length, change.offset + change.bytes.length)
  let whole: Buffer = content
  if (length < content.length) whole = content.subarray(0, length)
  // Room for what follows, so that a growing file is not copied at each write.
  else if (length > content.length) whole = grown(content, length)
  if ('bytes' in change) change.bytes.copy(whole, change.offset)
  return whole
}

function grown(content: Buffer, length: number): Buffer {
  const { buffer, byteOffset, byteLength } = content
  if (byteOffset === 0 && buffer.byteLength >= length && buffer.byteLength > 65_536) {
    const whole = Buffer.from(buffer, 0, length)
    // What was cut off before is zero when the file grows again.
    return whole.fill(0, byteLength)
  }
  const whole = Buffer.from(new ArrayBuffer(Math.max(length * 2, 65_537)), 0, length)
  content.copy(whole)
  return whole
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)] as Item
}
