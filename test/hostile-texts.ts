/** Texts that a regular expression may be slow on, made of its own parts. */

/** What a part of a pattern matches, shortly; and whether it may repeat. */
type Part =
  | { readonly kind: 'one'; readonly source: string }
  | { readonly kind: 'group'; readonly alternatives: readonly (readonly Part[])[] }
  | { readonly kind: 'nothing' }

interface Repeated {
  /** The text that comes before it. */
  readonly before: string
  readonly text: string
}

/** Characters to stand for a class. */
const CHARACTERS = [
  ...' \n\t0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;-_+*/=@#$%&?!\'"`()[]{}<>|^~\\é日\0',
]

/** Of so many characters each. */
export function* hostileTexts({ source, flags }: RegExp, length: number): Generator<string> {
  const parser = new Parser(source, flags)
  const texts = new Set<string>()
  const add = (before: string, part: string, after: string) => {
    const times = Math.floor((length - before.length - after.length) / (part.length || 1))
    texts.add(JSON.stringify([before, part, times, after]))
  }
  const alternatives = parser.parse()
  for (const choice of [0, 1, 2]) {
    const repeated: Repeated[] = []
    const whole = walk([{ kind: 'group', alternatives }], choice, flags, '', repeated)
    // The beginning of a match, again and again.
    for (let end = 1; end <= Math.min(whole.length, 80); end += 1) add('', whole.slice(0, end), '')
    for (const { before, text } of repeated) {
      for (const after of ['', '\0', '\n', ' ', 'x', '0']) add(before, text, after)
      add('', before + text, '\0')
      for (const other of repeated) add(before, text + other.text, '\0')
      // What comes elsewhere in the pattern, where a class may have it, too.
      for (const character of new Set(whole)) add(before, character, '\0')
    }
  }
  for (const character of ' \n0a"\\') add('', character, '\0')
  for (const text of texts) {
    const [before, part, times, after] = JSON.parse(text) as [string, string, number, string]
    yield before + part.repeat(times) + after
  }
}

/** A text that the parts match, more or less; of alternatives the one that is chosen. */
function walk(parts: readonly Part[], choice: number, flags: string, begin: string, repeated: Repeated[]): string {
  let text = begin
  for (const part of parts) {
    if (part.kind === 'nothing') continue
    const before = text
    if (part.kind === 'one') {
      text += sample(part.source, flags, choice)
    } else {
      const chosen = part.alternatives[choice % part.alternatives.length] as readonly Part[]
      text = walk(chosen, choice, flags, text, repeated)
    }
    if ('repeats' in part && text !== before) repeated.push({ before, text: text.slice(before.length) })
  }
  return text
}

function sample(source: string, flags: string, choice: number): string {
  const one = new RegExp(`^(?:${source})$`, flags.replace(/[gy]/g, ''))
  const matching = CHARACTERS.filter(character => one.test(character))
  return matching[choice % (matching.length || 1)] ?? ''
}

/** As much of the grammar of patterns as it takes to know their parts. */
class Parser {
  readonly #source: string
  readonly #flags: string
  #at = 0

  constructor(source: string, flags: string) {
    this.#source = source
    this.#flags = flags
  }

  parse(): Part[][] {
    const alternatives: Part[][] = [[]]
    while (this.#at < this.#source.length && this.#source[this.#at] !== ')') {
      if (this.#takes(/\|/y) !== undefined) alternatives.push([])
      else alternatives.at(-1)?.push(this.#repeated(this.#part()))
    }
    return alternatives
  }

  #part(): Part {
    // What looks behind is no part of the text.
    if (this.#takes(/\(\?<[=!]/y) !== undefined) {
      this.parse()
      this.#at += 1
      return { kind: 'nothing' }
    }
    if (this.#takes(/\((?:\?(?:[:=!]|<[^>]+>))?/y) !== undefined) {
      const alternatives = this.parse()
      this.#at += 1
      return { kind: 'group', alternatives }
    }
    if (this.#takes(/[\^$]|\\[bB]/y) !== undefined) return { kind: 'nothing' }
    const unicode = this.#flags.includes('u') || this.#flags.includes('v')
    const source = this.#takes(
      unicode
        ? /\[(?:\\.|[^\]\\])*\]|\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|x..|u....|c.|.)|./suy
        : /\[(?:\\.|[^\]\\])*\]|\\(?:x..|u....|c.|.)|./sy,
    )
    return { kind: 'one', source: source as string }
  }

  #repeated(part: Part): Part {
    const quantifier = this.#takes(/[*+]\??|\{\d+(?:,\d*)?\}\??|\?\??/y)
    return quantifier === undefined || quantifier.startsWith('?') ? part : { ...part, ...{ repeats: true } }
  }

  #takes(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const [found] = pattern.exec(this.#source) ?? []
    if (found !== undefined) this.#at += found.length
    return found
  }
}
