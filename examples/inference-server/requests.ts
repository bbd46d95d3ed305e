import * as v from 'valibot'
import { ApiError } from './api-error.ts'
import { countTokens, longestWord } from './tokenizer.ts'

export const MODELS = ['markov-1', 'markov-1-small'] as const
export type Model = (typeof MODELS)[number]
export const CONTEXT_TOKENS = 8192

const maxChoices = 16
const maxPromptLength = 32_768
const maxWordLength = 1_000

/** What the two endpoints have in common once a request is understood. */
export interface CompletionRequest {
  readonly model: Model
  readonly prompts: readonly string[]
  readonly promptTokens: number
  readonly choicesPerPrompt: number
  readonly maxTokens: number
  readonly stop: readonly string[]
  readonly temperature: number
  readonly seed: number | undefined
  readonly endless: boolean
  readonly stream: boolean
  readonly includeUsage: boolean
}

const tokenLimit = v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1)))
const text = v.string()

// What would change the answer and is not done here is refused. Other unknown members are let pass.
const unsupported = (members: string[]) =>
  Object.fromEntries(members.map(member => [member, v.nullish(v.undefined(`Unsupported parameter: '${member}'`))]))

const sampling = {
  model: v.string(),
  temperature: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(2)), 1),
  seed: v.nullish(v.pipe(v.number(), v.safeInteger())),
  n: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxChoices)), 1),
  max_tokens: tokenLimit,
  stop: v.nullish(v.union([v.pipe(text, v.nonEmpty()), v.pipe(v.array(v.pipe(text, v.nonEmpty())), v.maxLength(4))])),
  stream: v.nullish(v.boolean(), false),
  stream_options: v.nullish(v.object({ include_usage: v.nullish(v.boolean(), false) })),
  // As vLLM has it: generate up to the token limit.
  ignore_eos: v.nullish(v.boolean(), false),
}

const chatSchema = v.object({
  ...sampling,
  max_completion_tokens: tokenLimit,
  messages: v.pipe(
    v.array(
      v.object({
        role: v.picklist(['system', 'developer', 'user', 'assistant', 'tool']),
        content: v.union([text, v.array(v.object({ type: v.literal('text'), text }))]),
      }),
    ),
    v.nonEmpty(),
  ),
  ...unsupported(['tools', 'tool_choice', 'functions', 'function_call', 'response_format', 'logprobs', 'audio']),
})

const textSchema = v.object({
  ...sampling,
  prompt: v.union([text, v.pipe(v.array(text), v.nonEmpty(), v.maxLength(maxChoices))]),
  ...unsupported(['suffix', 'echo', 'logprobs', 'best_of']),
})

type Message = v.InferOutput<typeof chatSchema>['messages'][number]
type Sampling = Pick<v.InferOutput<typeof chatSchema>, Exclude<keyof typeof sampling, 'max_tokens'>>

export function parseChatRequest(body: unknown): CompletionRequest {
  const request = parse(chatSchema, body)
  const { max_tokens, max_completion_tokens } = request
  if (max_tokens != null && max_completion_tokens != null) {
    throw badRequest('max_tokens', 'Set either max_tokens or max_completion_tokens, not both.')
  }
  return completionRequest(
    request,
    { param: 'messages', texts: [chatPrompt(request.messages)] },
    max_tokens != null
      ? { param: 'max_tokens', value: max_tokens }
      : { param: 'max_completion_tokens', value: max_completion_tokens, fallback: 256 },
  )
}

export function parseTextRequest(body: unknown): CompletionRequest {
  const request = parse(textSchema, body)
  return completionRequest(
    request,
    { param: 'prompt', texts: typeof request.prompt === 'string' ? [request.prompt] : request.prompt },
    { param: 'max_tokens', value: request.max_tokens, fallback: 16 },
  )
}

/** The text that the model reads for a chat, and whose tokens are counted. */
export function chatPrompt(messages: readonly Pick<Message, 'role' | 'content'>[]): string {
  const turns = messages.map(({ role, content }) => {
    const parts = typeof content === 'string' ? [content] : content.map(part => part.text)
    return `${role}: ${parts.join('')}\n`
  })
  return `${turns.join('')}assistant:`
}

function completionRequest(
  request: Sampling,
  prompt: { readonly param: string; readonly texts: readonly string[] },
  limit: { readonly param: string; readonly value: number | null | undefined; readonly fallback?: number },
): CompletionRequest {
  const { stop, stream_options: streamOptions } = request
  const model = MODELS.find(one => one === request.model)
  if (model === undefined) {
    const details = { param: 'model', code: 'model_not_found' }
    throw new ApiError(404, `The model '${request.model.slice(0, 100)}' does not exist.`, details)
  }
  if (streamOptions && !request.stream) throw badRequest('stream_options', "Only allowed when 'stream' is true.")
  if (prompt.texts.length * request.n > maxChoices) {
    throw badRequest('n', `Too many choices: at most ${maxChoices} for all prompts together.`)
  }
  const promptTokens = countPromptTokens(prompt)
  const largest = Math.max(...promptTokens)
  const room = CONTEXT_TOKENS - largest
  const maxTokens = limit.value ?? Math.min(limit.fallback ?? room, room)
  if (maxTokens < 1 || maxTokens > room) {
    const needed = `${largest} tokens in the prompt and ${Math.max(1, maxTokens)} for the answer`
    throw badRequest(
      limit.value == null ? prompt.param : limit.param,
      `${needed} are too many: this model's context is ${CONTEXT_TOKENS} tokens.`,
      'context_length_exceeded',
    )
  }
  return {
    model,
    prompts: prompt.texts,
    promptTokens: promptTokens.reduce((sum, count) => sum + count, 0),
    choicesPerPrompt: request.n,
    maxTokens,
    stop: stop == null ? [] : typeof stop === 'string' ? [stop] : stop,
    temperature: request.temperature,
    seed: request.seed ?? undefined,
    endless: request.ignore_eos,
    stream: request.stream,
    includeUsage: streamOptions?.include_usage ?? false,
  }
}

function countPromptTokens({ param, texts }: { readonly param: string; readonly texts: readonly string[] }): number[] {
  if (texts.reduce((length, text) => length + text.length, 0) > maxPromptLength) {
    throw badRequest(param, `Too long: at most ${maxPromptLength} characters.`, 'string_above_max_length')
  }
  if (texts.some(text => longestWord(text) > maxWordLength)) {
    throw badRequest(param, `A word is too long: at most ${maxWordLength} characters.`, 'invalid_prompt')
  }
  return texts.map(countTokens)
}

function parse<Schema extends v.GenericSchema>(schema: Schema, body: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, body, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  // messages.0.role → messages[0].role
  const param = v.getDotPath(issue)?.replaceAll(/\.(\d+)/g, '[$1]')
  throw badRequest(param, issue.message)
}

function badRequest(param: string | undefined, message: string, code?: string): ApiError {
  return new ApiError(400, param === undefined ? message : `${param}: ${message}`, {
    ...(param !== undefined && { param }),
    ...(code !== undefined && { code }),
  })
}
