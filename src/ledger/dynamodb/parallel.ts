/**
 * Does something with each, some at a time. Results are in the order of what is given. Where one rejects no others are
 * begun, and those that are under way are waited for.
 */
export async function inParallel<Given, Result>(
  given: readonly Given[],
  atOnce: number,
  work: (one: Given) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < given.length) {
      const index = next
      next += 1
      results[index] = await work(given[index] as Given).catch(error => {
        next = given.length
        throw error
      })
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: Math.min(atOnce, given.length) }, worker))
  for (const end of ended) if (end.status === 'rejected') throw end.reason
  return results
}

/** In any order: those who go through the same at once do different ones first, and are less in each other's way. */
export function shuffled<Element>(elements: Iterable<Element>): Element[] {
  return [...elements]
    .map(element => ({ element, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ element }) => element)
}
