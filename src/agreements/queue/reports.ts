import type { AgreementEvent } from '../../marketplace/agreement-events.ts'

/** What a person has to be told of a queue: as a sentence, and as data. */
export type QueueReport = {
  readonly level: 'warn' | 'error'
  readonly message: string
} & (
  | {
      /** It is no agreement event. It is left to the dead-letter queue. */
      readonly type: 'unreadable'
      readonly messageId: string
      /** How often it was received by now. */
      readonly attempt: number
      /** Whether it goes to the dead-letter queue now, as far as is known. */
      readonly isLast: boolean
      readonly error: unknown
    }
  | {
      /** What it changes was not written down. It comes again. */
      readonly type: 'unhandled'
      readonly messageId: string
      readonly attempt: number
      readonly isLast: boolean
      readonly error: unknown
      readonly event: AgreementEvent
    }
  | {
      /** It was handled, or means nothing, and comes again all the same. */
      readonly type: 'undeleted'
      readonly messageId: string
      readonly error: unknown
    }
  | {
      /** Nothing can be received. It is tried again. */
      readonly type: 'unreachable'
      readonly error: unknown
      /** Milliseconds. */
      readonly retryIn: number
    }
  /** What cannot be handled comes again until SQS throws it away. */
  | { readonly type: 'no-dead-letter-queue' }
  /** An event was still being handled when the time to stop had passed. */
  | { readonly type: 'unfinished' }
)
