import * as v from 'valibot'

/** A schema with a sentence for editors. */
export function described<const Schema extends v.GenericSchema>(schema: Schema, description: string) {
  return v.pipe(schema, v.description(description))
}
