import type { Class } from '../judge.ts'
import type { Course, Stage } from '../stage.ts'

export interface Scenario {
  readonly name: string
  readonly class: Class
  /** Why it can be decided from the messages, or how far. */
  readonly why: string
  readonly make: (stage: Stage) => Course
}

export const scenario = (name: string, klass: Class, why: string, make: Scenario['make']): Scenario => ({
  ...{ name, class: klass, why, make },
})
