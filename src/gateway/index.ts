export { Gateway } from './gateway.ts'
export type { GatewayOptions, ListenOptions } from './options.ts'
