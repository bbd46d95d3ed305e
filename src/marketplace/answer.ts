import * as v from 'valibot'
import { type AnswerMetadata, MeteringAnswerError, MeteringServiceError } from './errors.ts'

/** A whole answer of 25 records with all their allocations is below a fifth of this. */
export const MAX_ANSWER_BYTES = 5 * 1024 * 1024

/**
 * The text of an answer, however it is encoded: what is longer than `limit` bytes is not read to its end.
 *
 * @returns undefined where it is longer
 */
export async function readText(response: Response, limit: number): Promise<string | undefined> {
  if (Number(response.headers.get('content-length')) > limit) {
    await response.body?.cancel()
    return undefined
  }
  const decoder = new TextDecoder()
  let size = 0
  let text = ''
  // Leaving the loop cancels the stream.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > limit) return undefined
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

const text = v.nullish(v.string())

/** Seconds since the epoch on the wire. AWS writes what is not there as null or not at all. */
const timestamp = v.nullish(
  v.pipe(
    v.number(),
    v.transform(seconds => new Date(Math.round(seconds * 1000))),
    v.check(date => !Number.isNaN(date.getTime()), 'seconds since the epoch'),
  ),
)

/** An object of these members, without those that are missing. */
const structure = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.pipe(
    v.object(entries),
    v.transform(
      members => Object.fromEntries(Object.entries(members).filter(([, value]) => value != null)) as Present<Entries>,
    ),
  )
type Present<Entries extends v.ObjectEntries> = {
  [Name in keyof Entries]?: Exclude<v.InferOutput<Entries[Name]>, null | undefined>
}

const usageRecord = structure({
  Timestamp: timestamp,
  Dimension: text,
  Quantity: v.nullish(v.number()),
  CustomerAWSAccountId: text,
  LicenseArn: text,
  CustomerIdentifier: text,
})

/** What of the answers is looked at. Members that AWS may add are no fault. */
export const ANSWERS = {
  BatchMeterUsage: structure({
    Results: v.nullish(
      v.array(structure({ UsageRecord: v.nullish(usageRecord), MeteringRecordId: text, Status: text })),
    ),
    UnprocessedRecords: v.nullish(v.array(usageRecord)),
  }),
  ResolveCustomer: structure({
    CustomerIdentifier: text,
    CustomerAWSAccountId: text,
    ProductCode: text,
    LicenseArn: text,
  }),
}

export type Operation = keyof typeof ANSWERS
export type OperationResult<Name extends Operation> = v.InferOutput<(typeof ANSWERS)[Name]>

/**
 * Reads what AWS answered to an operation.
 *
 * @throws {MeteringServiceError} AWS's own error
 * @throws {MeteringAnswerError} for anything that is no answer of AWS. It quotes none of it: a proxy's page may show
 *   the request's headers.
 */
export async function readAnswer<Name extends Operation>(
  operation: Name,
  response: Response,
): Promise<OperationResult<Name> & { $metadata: AnswerMetadata }> {
  const metadata = metadataOf(response)
  const { status, headers } = response
  const nonsense = (what: string, options?: ErrorOptions) =>
    new MeteringAnswerError(`HTTP ${status} with ${what}`, metadata, options)
  if (status >= 300 && status < 400) {
    await response.body?.cancel()
    throw nonsense(`a redirect${destinationOf(response)}, which is not followed: is the endpoint right?`)
  }
  const body = await readText(response, MAX_ANSWER_BYTES)
  if (body === undefined) throw nonsense(`more than ${MAX_ANSWER_BYTES} bytes`)
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    const type = headers.get('content-type')?.slice(0, 50) ?? 'no content type'
    throw nonsense(`${body.length} characters of ${type} that are not JSON`)
  }
  if (!response.ok) throw serviceErrorOf(json, response) ?? nonsense('an error without a name')
  const result = v.safeParse(ANSWERS[operation], Array.isArray(json) ? null : json)
  if (result.success) return { ...(result.output as OperationResult<Name>), $metadata: metadata }
  const [issue] = result.issues
  throw nonsense(`JSON that is no answer to ${operation}: ${v.getDotPath(issue) ?? 'all of it'} is not what AWS sends`)
}

function metadataOf({ status, headers }: Response): AnswerMetadata {
  const requestId = headers.get('x-amzn-requestid')
  return { attempts: 1, httpStatusCode: status, ...(requestId !== null && { requestId }) }
}

function destinationOf(response: Response): string {
  const location = response.headers.get('location')
  return location !== null && URL.canParse(location) ? ` to ${new URL(location).origin}` : ''
}

/** `ThrottlingException`, of `com.amazonaws.…#ThrottlingException:http://…` too. */
const ERROR_NAME = /^(?:[\w.]+#)?([A-Za-z][\w.]{0,99})(?:[:,].*)?$/s

function serviceErrorOf(json: unknown, response: Response): MeteringServiceError | undefined {
  const members = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const type = response.headers.get('x-amzn-errortype') ?? members.__type ?? members.code
  const name = typeof type === 'string' ? ERROR_NAME.exec(type)?.[1] : undefined
  if (name === undefined) return undefined
  const message = members.message ?? members.Message
  return new MeteringServiceError(name, typeof message === 'string' ? message : '', metadataOf(response))
}
