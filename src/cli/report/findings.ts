import type { Finding, FindingState } from '../../metering/preflight/finding.ts'
import type { Format, Paint } from '../../text/paint.ts'
import { oneLine, printable } from '../../text/printable.ts'

const COLOURS: Readonly<Record<FindingState, Format>> = { ok: 'green', warning: 'yellow', fault: 'red' }

/** A line for each finding: `fault    region         …`, with what to do. */
export function findingsTable(findings: readonly Finding[], paint: Paint): string {
  const widest = Math.max(...findings.map(({ name }) => name.length))
  return findings
    .map(({ name, state, message, advice }) => {
      const said = printable(oneLine(advice === undefined ? message : `${message} → ${advice}`), LONGEST)
      return `${paint(COLOURS[state], state.padEnd(7))}  ${name.padEnd(widest)}  ${said}`
    })
    .join('\n')
}

/** Of a line, in characters. */
const LONGEST = 2000
