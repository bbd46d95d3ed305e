import { type ConversionConfig, toJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { EITHER_EVENTS, EITHER_TOKEN, EVENTS, SETTINGS, TOKEN_ENTRY } from './schema.ts'
import { SOURCE, USAGE_SHAPE } from './usage-shape.ts'

const EITHER = new Map<unknown, typeof EITHER_TOKEN | typeof EITHER_EVENTS>([
  [TOKEN_ENTRY, EITHER_TOKEN],
  [EVENTS, EITHER_EVENTS],
])

/** The JSON schema of the configuration file, for editors. What it cannot say, only `check` finds. */
export function jsonSchema(): object {
  const config: ConversionConfig = {
    typeMode: 'input',
    definitions: { source: SOURCE },
    // Checks of our own have no equal there.
    ignoreActions: ['check'],
    // Nor has a schema that depends on the value.
    overrideSchema: ({ valibotSchema }) => {
      const either = EITHER.get(valibotSchema)
      return either && toJsonSchema(either, { typeMode: 'input', ignoreActions: ['check'] })
    },
  }
  const schema = toJsonSchema(v.strictObject({ ...USAGE_SHAPE, ...SETTINGS }), config)
  return {
    ...schema,
    title: 'Configuration of the AWS Marketplace metering gateway',
    anyOf: [{ required: ['productCode'] }, { required: ['product'] }],
  }
}
