import { diag, metrics } from '@opentelemetry/api'

export type NoticeLevel = 'warn' | 'error'

/**
 * Tells the operator: through `diag` where a logger is installed, and otherwise on the console's stderr. Whoever may
 * say a thing often says it seldom.
 */
export function notice(level: NoticeLevel, message: string): void {
  if (hasDiagLogger()) diag[level](message)
  else toConsole(level, message)
}

function toConsole(level: NoticeLevel, message: string): void {
  console[level](`opentelemetry-exporter-aws-marketplace: ${message}`)
}

const lastWords = new Set<() => string | undefined>()
let listening = false

/**
 * On the console, as the process's last line: a logger may be gone by then. `word` is asked then, once; undefined says
 * nothing. Until `noNoticeAtExit`.
 */
export function noticeAtExit(word: () => string | undefined): void {
  lastWords.add(word)
  if (listening) return
  listening = true
  process.once('exit', () => {
    for (const word of lastWords) {
      const message = word()
      if (message !== undefined) toConsole('error', message)
    }
  })
}

export function noNoticeAtExit(word: () => string | undefined): void {
  lastWords.delete(word)
}

/** Where all copies of the API keep what is registered; `diag` itself does not say whether it has a logger. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1')

/** Whether what `diag` is told reaches a logger. */
export function hasDiagLogger(): boolean {
  const registered = (globalThis as { [REGISTERED]?: { diag?: unknown; metrics?: unknown } })[REGISTERED]
  if (registered?.diag === undefined) return false
  // This copy of the API does not use what another version has registered.
  return registered.metrics === undefined || registered.metrics === metrics.getMeterProvider()
}
