import type { FinishReason } from './completion.ts'
import { type CompletionRequest, parseChatRequest, parseTextRequest } from './requests.ts'

interface Choice {
  readonly index: number
  readonly text: string
  readonly finishReason: FinishReason | undefined
}

/** What tells the two endpoints apart: how a request is read, and how an answer looks. */
export interface Format {
  readonly idPrefix: string
  readonly object: string
  readonly chunkObject: string
  parse(body: unknown): CompletionRequest
  choice(choice: Choice): object
  /** What begins a choice in a stream. */
  opening?(index: number): object
  chunk(choice: Choice): object
}

const common = ({ index, finishReason }: Choice) => ({ index, finish_reason: finishReason ?? null, logprobs: null })

export const chatFormat: Format = {
  idPrefix: 'chatcmpl-',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  parse: parseChatRequest,
  choice: choice => ({ ...common(choice), message: { role: 'assistant', content: choice.text, refusal: null } }),
  opening: index => ({ index, delta: { role: 'assistant', content: '' }, finish_reason: null, logprobs: null }),
  chunk: choice => ({ ...common(choice), delta: choice.text === '' ? {} : { content: choice.text } }),
}

export const textFormat: Format = {
  idPrefix: 'cmpl-',
  object: 'text_completion',
  chunkObject: 'text_completion',
  parse: parseTextRequest,
  choice: choice => ({ ...common(choice), text: choice.text }),
  chunk: choice => ({ ...common(choice), text: choice.text }),
}
