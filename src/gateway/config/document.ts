import { isMap, isSeq, LineCounter, type Node, type Pair, parseDocument, visit, type YAMLError } from 'yaml'
import type { Problem } from './errors.ts'

type Place = Pick<Problem, 'line' | 'column'>

/** A YAML text that knows where in it everything is. */
export class ConfigDocument {
  /** What the text says. Only where there are no problems it is all that is meant. */
  readonly value: unknown
  readonly problems: readonly Problem[]
  readonly #lines = new LineCounter()
  readonly #root: Node | null

  constructor(text: string) {
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, stringKeys: true })
    const problems = [...document.errors, ...document.warnings].map(error => this.#syntaxProblem(error))
    visit(document, {
      Alias: (_, { range }) => {
        problems.push({ ...this.#place(range?.[0]), message: 'expected no alias: write the value out' })
      },
    })
    this.problems = oncePerLine(problems)
    this.#root = document.contents
    this.value = problems.length === 0 ? document.toJS() : undefined
  }

  /** Where a problem is that says `path: what is wrong`. */
  locate(message: string): Problem {
    let node: unknown = this.#root
    let rest = message
    let place: Place = { line: 1, column: 1 }
    for (;;) {
      const step = isMap(node) ? stepInMap(node.items, rest) : isSeq(node) ? stepInList(node.items, rest) : undefined
      if (step === undefined) return { ...place, message }
      rest = rest.slice(step.length)
      node = step.value
      place = this.#place(step.key ?? startOf(node))
      if (!rest.startsWith(': ')) {
        rest = rest.slice(1)
        continue
      }
      const isKey = node === null || rest.startsWith(': there is no such option')
      return { ...(isKey ? place : this.#place(startOf(node))), message }
    }
  }

  #place(offset = 0): Place {
    const { line, col } = this.#lines.linePos(offset)
    return { line, column: col }
  }

  #syntaxProblem({ code, message, pos }: YAMLError): Problem {
    const place = this.#place(pos[0])
    switch (code) {
      case 'DUPLICATE_KEY':
        return { ...place, message: 'expected each key once, this one is there already' }
      case 'MULTIPLE_DOCS':
        return { ...place, message: 'expected one document, another begins here' }
      default:
        // After the colon comes what the text says, which may be a secret.
        return { ...place, message: `expected YAML: ${message.replace(/: .*/s, '')}${HINTS[code] ?? ''}` }
    }
  }
}

const QUOTES = ' (a text with brackets or ": " in it needs quotes)'
const HINTS: Partial<Record<YAMLError['code'], string>> = { UNEXPECTED_TOKEN: QUOTES, MISSING_CHAR: QUOTES }

interface Step {
  /** Where the key is, in a mapping. */
  readonly key?: number | undefined
  readonly value: unknown
  /** How much of the path it is. */
  readonly length: number
}

/** Keys may have dots in them: the longest one that fits is meant. */
function stepInMap(pairs: readonly Pair[], path: string): Step | undefined {
  const fitting = pairs.filter(({ key }) => {
    const name = String(key)
    return path.startsWith(`${name}.`) || path.startsWith(`${name}: `)
  })
  const [pair] = fitting.sort((a, b) => String(b.key).length - String(a.key).length)
  return pair && { key: startOf(pair.key), value: pair.value, length: String(pair.key).length }
}

function stepInList(items: readonly unknown[], path: string): Step | undefined {
  const [, index] = /^(\d+)(?:\.|: )/.exec(path) ?? []
  return index === undefined ? undefined : { value: items[Number(index)], length: index.length }
}

const startOf = (node: unknown) => (node as Node | null)?.range?.[0]

/** One mistake of syntax often makes several in its line. */
function oncePerLine(problems: readonly Problem[]): Problem[] {
  return problems.filter((one, index) => problems.findIndex(({ line }) => line === one.line) === index)
}
