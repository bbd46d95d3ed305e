/** How long to wait before the next try, in milliseconds: twice as long each time, half of it by chance. */
export function backoff(failures: number, shortest: number, longest: number, random: () => number): number {
  const delay = Math.min(longest, shortest * 2 ** Math.min(failures - 1, 30))
  return Math.round(delay / 2 + (delay / 2) * random())
}
