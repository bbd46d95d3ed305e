import * as v from 'valibot'

/** Where a page of a list ended, in a token that is good for the query that it is from alone. */

export function pageToken(query: string, after: object): string {
  return Buffer.from(JSON.stringify({ query, after })).toString('base64url')
}

/** Where the page before ended; undefined where the token is not one of this query. */
export function pageAfter<Schema extends v.GenericSchema>(
  schema: Schema,
  token: string,
  query: string,
): v.InferOutput<Schema> | undefined {
  let content: unknown
  try {
    content = JSON.parse(Buffer.from(token, 'base64url').toString())
  } catch {
    // Then it is none of ours.
  }
  const result = v.safeParse(v.object({ query: v.literal(query), after: schema }), content)
  return result.success ? (result.output.after as v.InferOutput<Schema>) : undefined
}
