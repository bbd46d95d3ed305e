import type { Random } from './random.ts'
import { tokenTexts } from './tokenizer.ts'

// Words as the tokenizer splits them: tokens of words that were neighbours in the corpus are tokens of their sentence.
const words = /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+/gu

const boundary = ''

/** Which words followed a word in the corpus, and how often. */
type Successors = Map<string, number>

export interface GenerateOptions {
  readonly prompt: string
  readonly random: Random
  /** 0 takes the likeliest word each time, 1 the corpus's own odds, above it the odds get more even. */
  readonly temperature: number
  /** Begins another paragraph instead of ending. */
  readonly endless?: boolean
}

/** A model that is small enough to be built in: a Markov chain over words, which it hands out token by token. */
export class TextGenerator {
  readonly #successors = new Map<string, Successors>()
  readonly #tokens = new Map<string, string[]>()

  constructor(corpus: string) {
    for (const paragraph of corpus.trim().split(/\n\s*\n/)) {
      let previous = boundary
      for (const [word] of paragraph.replaceAll(/\s+/g, ' ').matchAll(words)) {
        this.#learn(previous, word)
        previous = word
      }
      this.#learn(previous, boundary)
    }
  }

  /** The texts of the tokens that come after the prompt. */
  *generate({ prompt, random, temperature, endless = false }: GenerateOptions): Generator<string, void, void> {
    let word = this.#lastWord(prompt)
    let separator = ''
    for (;;) {
      word = pick(this.#successors.get(word) as Successors, random, temperature)
      if (word !== boundary) {
        yield* this.#tokensOf(separator + word)
        separator = ''
      } else if (endless) {
        separator = ' '
      } else {
        return
      }
    }
  }

  #learn(previous: string, word: string): void {
    const successors = this.#successors.get(previous) ?? new Map<string, number>()
    this.#successors.set(previous, successors)
    successors.set(word, (successors.get(word) ?? 0) + 1)
  }

  #lastWord(prompt: string): string {
    const last = /(?<!\S)\S+$/.exec(prompt)?.[0]
    return last !== undefined && this.#successors.has(` ${last}`) ? ` ${last}` : boundary
  }

  #tokensOf(word: string): string[] {
    const tokens = this.#tokens.get(word) ?? tokenTexts(word)
    this.#tokens.set(word, tokens)
    return tokens
  }
}

function pick(successors: Successors, random: Random, temperature: number): string {
  const most = Math.max(...successors.values())
  // Relative to the likeliest, so that a temperature near 0 does not overflow.
  const weigh = (count: number) => (count / most) ** (1 / temperature)
  let total = 0
  for (const [word, count] of successors) {
    if (temperature === 0 && count === most) return word
    total += weigh(count)
  }
  let rest = random() * total
  let picked = boundary
  for (const [word, count] of successors) {
    picked = word
    rest -= weigh(count)
    if (rest < 0) break
  }
  return picked
}
