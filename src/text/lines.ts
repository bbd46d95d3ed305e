/** A text of several lines, each as long as it is to be. */
export const lines = (...texts: readonly string[]): string => texts.join('\n')
