import type { Span } from './coverage.ts'
import type { TrailEvent } from './event.ts'

/** Where events come from: a file of them, or a region of CloudTrail that is asked. */
export interface EventSource {
  /** As it is named to a person. */
  readonly name: string
  /** Whether it says by itself what it has searched. */
  readonly asked?: boolean
  /** @throws SearchError where CloudTrail does not answer, after what it has answered was taken */
  read(sink: EventSink): Promise<void>
}

/** Takes what a source has, in whatever order. */
export interface EventSink {
  readonly take: (event: TrailEvent) => void
  /** Something cannot be read, it says what and where: then nothing is taken for complete. */
  readonly unreadable: (problem: string) => void
  /** CloudTrail was asked for all calls of a time, and has answered to the end. */
  readonly searched: (region: string, span: Span) => void
}
