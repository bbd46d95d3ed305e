/** A text of several lines, each as long as it is to be. */
export const lines = (...texts: readonly string[]): string => texts.join('\n')

/** A text on lines of at most so many characters, broken between words. */
export function wrapped(text: string, width: number): string {
  const broken: string[] = []
  for (const word of text.split(' ')) {
    const last = broken.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) broken.push(word)
    else broken[broken.length - 1] = `${last} ${word}`
  }
  return broken.join('\n')
}
