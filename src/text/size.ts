/** A file's size: `812 kB`, `1.4 GB`. */
export function sizeText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3))
  const count = bytes / 1000 ** power
  return `${power > 0 && count < 10 ? count.toFixed(1) : Math.round(count)} ${units[power]}`
}
