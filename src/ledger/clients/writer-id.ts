import { randomBytes } from 'node:crypto'

/** A new writer of batches: the random 128 bits of a process's incarnation, as 32 hexadecimal digits. */
export const newWriterId = (): string => randomBytes(16).toString('hex')
