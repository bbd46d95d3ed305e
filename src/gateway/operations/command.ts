/** A command, and when it is the right one. */
export interface Advice {
  readonly when: string
  readonly command: string
}

/** A word that a shell takes as it is. */
export function shellWord(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
