/** The elements of these members of an object are what is looked for, whatever stands beside them. */
const LISTS = new Set(['events', 'records'])
/** No event of CloudTrail comes near it: it is a file of something else. */
const LONGEST = 64 * 1024 * 1024

const [QUOTE, BACKSLASH, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST, COMMA] = Buffer.from('"\\{}[],') as unknown as number[]
const BYTE_ORDER_MARK = Buffer.from('\ufeff')

/**
 * Splits JSON of any length into the texts of its objects, in constant memory: the elements of `Events` and `Records`, of
 * lists, and whatever other objects follow each other. `push` what comes, then `end`.
 */
export class JsonObjects {
  /** How many bytes came before the present chunk. */
  #before = 0
  #depth = 0
  #inString = false
  #escaped = false
  /** At which depth elements begin; 0 outside a list of them. */
  #list = 0
  /** Pieces of the element that is being read, and where it goes on in the present chunk; -1 where none is. */
  #pieces: Buffer[] = []
  #length = 0
  #start = -1
  /** The last string directly in a top object: a member's name, where a value follows. */
  #name = ''

  /** @throws SyntaxError where it is not JSON, with the place */
  push(chunk: Buffer): string[] {
    const found: string[] = []
    let index = this.#before === 0 && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0
    for (; index < chunk.length; index++) {
      const byte = chunk[index] as number
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) {
          this.#inString = false
          if (this.#depth === this.#list && this.#start >= 0) found.push(this.#take(chunk, index + 1))
          continue
        }
        if (this.#depth === 1 && this.#name.length < 16) this.#name += String.fromCharCode(byte)
        continue
      }
      if (byte === QUOTE) {
        this.#inString = true
        this.#name = ''
        // An event as a string, as `--query 'Events[].CloudTrailEvent'` prints it.
        if (this.#depth === this.#list) {
          if (this.#depth === 0) throw this.#unexpected(byte, index)
          this.#start = index
        }
      } else if (byte === OPEN || byte === OPEN_LIST) {
        this.#open(byte, index)
      } else if (byte === CLOSE || byte === CLOSE_LIST) {
        if (this.#depth === 0) throw this.#unexpected(byte, index)
        if (this.#depth === this.#list) this.#list = 0
        this.#depth--
        if (this.#depth === this.#list && this.#start >= 0) found.push(this.#take(chunk, index + 1))
      } else if (this.#depth === this.#list && byte > 32 && byte !== COMMA) {
        throw this.#unexpected(byte, index)
      }
    }
    if (this.#start >= 0) this.#keep(chunk.subarray(this.#start))
    this.#before += chunk.length
    return found
  }

  /** @throws SyntaxError where something has begun and not ended */
  end(): void {
    if (this.#depth > 0 || this.#inString)
      throw new SyntaxError('it ends in the middle: it was cut off, or is still written')
  }

  #open(byte: number, index: number): void {
    if (this.#depth === this.#list) {
      if (byte === OPEN) this.#start = index
      else if (this.#depth === 0) this.#list = 1
      else throw this.#unexpected(byte, index)
    } else if (this.#depth === 1 && byte === OPEN_LIST && LISTS.has(this.#name.toLowerCase()) && this.#list === 0) {
      // What it stands in is no event, but the page or file of them.
      this.#list = 2
      this.#drop()
    }
    this.#depth++
  }

  #take(chunk: Buffer, end: number): string {
    this.#keep(chunk.subarray(this.#start, end))
    const text = (this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces)).toString()
    this.#drop()
    return text
  }

  /** The rest of the element comes with the next chunk, from its first byte on. */
  #keep(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#length += piece.length
    this.#start = 0
    if (this.#length > LONGEST) throw new SyntaxError(`an object of more than ${LONGEST / 1024 / 1024} MB`)
  }

  #drop(): void {
    this.#pieces = []
    this.#length = 0
    this.#start = -1
  }

  #unexpected(byte: number, index: number): SyntaxError {
    return new SyntaxError(`unexpected ${JSON.stringify(String.fromCharCode(byte))} at byte ${this.#before + index}`)
  }
}
