import { setImmediate } from 'node:timers/promises'
import { Completion, type FinishReason } from './completion.ts'
import type { TextGenerator } from './generator.ts'
import { seededRandom } from './random.ts'
import type { CompletionRequest } from './requests.ts'
import type { Stopwatch } from './stopwatch.ts'
import { countTokens } from './tokenizer.ts'
import type { Usage } from './usage.ts'

export interface Step {
  readonly index: number
  readonly text: string
  readonly finishReason: FinishReason | undefined
}

/** A request's work: all of its choices, and what they cost. */
export class Job {
  readonly completions: readonly Completion[]

  readonly #promptTokens: number
  readonly #stopwatch: Stopwatch
  readonly #gpus: number

  constructor(
    request: CompletionRequest,
    resources: { generator: TextGenerator; seed: number; stopwatch: Stopwatch; gpus: number },
  ) {
    this.#promptTokens = request.promptTokens
    this.#stopwatch = resources.stopwatch
    this.#gpus = resources.gpus
    const { temperature, endless, maxTokens, stop } = request
    this.completions = request.prompts.flatMap((prompt, place) =>
      Array.from({ length: request.choicesPerPrompt }, (_, i) => {
        const index = place * request.choicesPerPrompt + i
        const random = seededRandom(resources.seed, i, prompt)
        const tokens = resources.generator.generate({ prompt, random, temperature, endless })
        return new Completion(index, tokens, maxTokens, stop)
      }),
    )
  }

  /** Token by token, giving way to other requests after each. */
  async *run(): AsyncGenerator<Step, void, void> {
    for (const completion of this.completions) {
      while (!completion.finishReason) {
        const text = this.#stopwatch.time(() => completion.next())
        yield { index: completion.index, text, finishReason: completion.finishReason }
        await setImmediate()
      }
    }
  }

  /** What was used up to now. Tokens are those of the text, as anyone can count them again. */
  usage(): Usage {
    const completionTokens = this.#stopwatch.time(() =>
      this.completions.reduce((sum, completion) => sum + countTokens(completion.text), 0),
    )
    return {
      prompt_tokens: this.#promptTokens,
      completion_tokens: completionTokens,
      total_tokens: this.#promptTokens + completionTokens,
      compute_microseconds: this.#stopwatch.microseconds * this.#gpus,
    }
  }
}
