// The smallest of OpenAI's encodings: loads in about a tenth of a second.
import { countTokens as count, decode, encode, setMergeCacheSize } from 'gpt-tokenizer/encoding/r50k_base'

// `<|endoftext|>` in what a user writes is text like any other.
const plainText = { disallowedSpecial: new Set<string>() }

// The cache is keyed by what users write, and must not become a store of it.
setMergeCacheSize(10_000)

export function countTokens(text: string): number {
  return count(text, plainText)
}

/** The text of each token. Only for ASCII: elsewhere a token may be part of a character. */
export function tokenTexts(text: string): string[] {
  return encode(text, plainText).map(token => decode([token]))
}

/**
 * The length of the longest run that the tokenizer takes as one word. Its time grows with the square of that: a body
 * full of one letter would keep every other customer waiting for seconds.
 */
export function longestWord(text: string): number {
  let longest = 0
  for (const [word] of text.matchAll(/\p{L}+|\p{N}+|\s+|[^\s\p{L}\p{N}]+/gu)) longest = Math.max(longest, word.length)
  return longest
}
