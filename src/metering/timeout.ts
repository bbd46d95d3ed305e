import { MarketplaceMeteringError } from '../errors.ts'

/** AWS did not answer in time: whether it took the records is not known. */
export class RequestTimeoutError extends MarketplaceMeteringError {
  readonly code = 'ERR_REQUEST_TIMEOUT'
}

/**
 * Runs `work` for at most `milliseconds`, even where it does not listen to its signal.
 *
 * @param late makes what it rejects with then
 */
export async function withTimeout<Result>(
  milliseconds: number,
  late: () => Error,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const abort = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = late()
      reject(error)
      abort.abort(error)
    }, milliseconds)
  })
  try {
    return await Promise.race([work(abort.signal), timeout])
  } finally {
    clearTimeout(timer)
  }
}
