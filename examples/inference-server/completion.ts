export type FinishReason = 'stop' | 'length'

/** One answer while it grows: stops at the token limit, before a stop sequence, or when the model is done. */
export class Completion {
  readonly index: number
  /** What was generated so far. A stop sequence is not part of it. */
  text = ''
  finishReason: FinishReason | undefined

  readonly #tokens: Iterator<string, void>
  readonly #stop: readonly string[]
  #tokensLeft: number
  #shown = 0

  constructor(index: number, tokens: Iterator<string, void>, maxTokens: number, stop: readonly string[]) {
    this.index = index
    this.#tokens = tokens
    this.#tokensLeft = maxTokens
    this.#stop = stop
  }

  /** Generates a token. Returns the text that can be shown: what may become a stop sequence waits. */
  next(): string {
    const token = this.#tokens.next()
    if (token.done) this.finishReason = 'stop'
    else this.#append(token.value)
    const end = this.finishReason ? this.text.length : this.text.length - this.#possibleStopLength()
    const shown = this.text.slice(this.#shown, end)
    this.#shown = end
    return shown
  }

  #append(token: string): void {
    this.text += token
    const stops = this.#stop.map(stop => this.text.indexOf(stop, this.#shown)).filter(at => at >= 0)
    if (stops.length > 0) {
      this.text = this.text.slice(0, Math.min(...stops))
      this.finishReason = 'stop'
    } else if (--this.#tokensLeft === 0) {
      this.finishReason = 'length'
    }
  }

  /** How much of the text's end could be the beginning of a stop sequence. */
  #possibleStopLength(): number {
    const longest = Math.max(0, ...this.#stop.map(stop => stop.length - 1))
    for (let length = Math.min(longest, this.text.length - this.#shown); length > 0; length--) {
      const end = this.text.slice(-length)
      if (this.#stop.some(stop => stop.startsWith(end))) return length
    }
    return 0
  }
}
