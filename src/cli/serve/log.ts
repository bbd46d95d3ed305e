import { type DiagLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import { withoutCustomers } from '../../text/customer-data.ts'

export type LogLevel = 'error' | 'warn' | 'info' | 'debug'

export interface LogOptions {
  /** This, and what is graver. */
  readonly level: LogLevel
  /** A JSON object on each line, with `time`, `level` and `message`; or text. */
  readonly format: 'json' | 'text'
  readonly write: (line: string) => void
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

const DIAG_LEVELS = {
  error: DiagLogLevel.ERROR,
  warn: DiagLogLevel.WARN,
  info: DiagLogLevel.INFO,
  debug: DiagLogLevel.DEBUG,
}

/** Logs what OpenTelemetry's `diag` is told, by this package and by others, without customers' data. */
export function logDiag({ level, format, write, now }: LogOptions): void {
  const log =
    (name: LogLevel) =>
    (text: string, ...details: unknown[]) => {
      const message = withoutCustomers([text, ...details.flatMap(describe)].join(' '))
      const time = new Date(now()).toISOString()
      write(
        format === 'json'
          ? `${JSON.stringify({ time, level: name, message })}\n`
          : `${time} ${name.padEnd(5)} ${message.replace(/(?<!\s)\s*\n\s*/g, ' ')}\n`,
      )
    }
  const logger: DiagLogger = {
    ...{ error: log('error'), warn: log('warn'), info: log('info'), debug: log('debug') },
    verbose: () => {},
  }
  diag.setLogger(logger, { logLevel: DIAG_LEVELS[level], suppressOverrideMessage: true })
}

/** What else there is to say: an error's message, and of objects nothing, since they may hold secrets. */
function describe(detail: unknown): string | [] {
  if (detail instanceof Error) return detail.message
  return typeof detail === 'object' || typeof detail === 'function' ? [] : String(detail)
}

/** The level that `OTEL_LOG_LEVEL` names. */
export function logLevelOf(name = ''): LogLevel {
  const level = name.toLowerCase()
  if (level === 'verbose' || level === 'all') return 'debug'
  if (level === 'none') return 'error'
  return Object.hasOwn(DIAG_LEVELS, level) ? (level as LogLevel) : 'info'
}
