import type { Composition } from './composition.ts'

/** What the properties have found, each as short as it can be: they are tried first, whatever the seed. */
export const FOUND: readonly Composition[] = []
