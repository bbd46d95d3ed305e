import { toJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { SETTINGS } from './schema.ts'
import { SOURCE, USAGE_SHAPE } from './usage-shape.ts'

/** The JSON schema of the configuration file, for editors. What it cannot say, only `check` finds. */
export function jsonSchema(): object {
  const schema = toJsonSchema(v.strictObject({ ...USAGE_SHAPE, ...SETTINGS }), {
    typeMode: 'input',
    definitions: { source: SOURCE },
    // Checks of our own have no equal there.
    ignoreActions: ['check'],
  })
  return {
    ...schema,
    title: 'Configuration of the AWS Marketplace metering gateway',
    oneOf: [{ required: ['productCode'] }, { required: ['product'] }],
  }
}
