/** The eighths of a block, by how many they are. */
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']
const WIDTH = 32

/** Figures as bars of text, a line for each: its name, the bar, the figure, and its share of the largest. */
export function bars(figures: Readonly<Record<string, number>>): string[] {
  const entries = Object.entries(figures)
  const largest = Math.max(...entries.map(([, value]) => value))
  const [names, numbers] = [entries.map(([name]) => name.length), entries.map(([, value]) => whole(value).length)]
  return entries.map(([name, value]) => {
    const share = largest === 0 ? 0 : value / largest
    const eighths = Math.round(share * WIDTH * 8)
    const bar = '█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]
    const percent = `${(share * 100).toFixed(1)} %`
    return `${name.padEnd(Math.max(...names))}  ${bar.padEnd(WIDTH)} ${whole(value).padStart(Math.max(...numbers))} ${percent.padStart(8)}`
  })
}

const whole = (value: number): string => value.toLocaleString('en-US')
