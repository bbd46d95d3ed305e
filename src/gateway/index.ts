export { Gateway } from './gateway.ts'
export type { GatewayOptions, ListenOptions, ServingOptions } from './options.ts'
