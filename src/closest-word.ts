/** The one of these words that differs least from another, by two letters and by half of them at most. */
export function closest(word: string, known: readonly string[]): string | undefined {
  return nearest(word, known, Math.min(2, word.length / 2))[0]
}

/** The option that was meant: the closest, however it is written (`close-delay`), or one that has more or less to its name. */
export function meant(word: string, known: readonly string[]): string | undefined {
  const plain = new Map(known.map(name => [plainly(name), name]))
  const text = plainly(word)
  const near = closest(text, [...plain.keys()])
  const found = near ?? [...plain.keys()].find(name => isPart(text, name) || isPart(name, text))
  return found === undefined ? undefined : plain.get(found)
}

const plainly = (name: string) => name.toLowerCase().replace(/[-_ ]/g, '')

const isPart = (part: string, name: string) => part.length >= 4 && name.startsWith(part)

/** Those of these words that differ from another by so many letters at most, the nearest first. */
export function nearest(word: string, known: readonly string[], most: number): string[] {
  return known
    .filter(name => Math.abs(name.length - word.length) <= most)
    .map(name => ({ name, distance: distance(word, name) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance)
    .map(({ name }) => name)
}

/** Levenshtein's: how many letters have to be put in, left out or changed. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      const changed = (row[j] as number) + (letter === other ? 0 : 1)
      next.push(Math.min(changed, (row[j + 1] as number) + 1, (next[j] as number) + 1))
    }
    row = next
  }
  return row.at(-1) as number
}
