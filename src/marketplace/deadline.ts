import { MeteringAbortError, MeteringTimeoutError } from './errors.ts'

/**
 * Runs `work` for at most `milliseconds`, and no longer than until `abortSignal` says so, even where it does not
 * listen to the signal that it is given.
 *
 * @throws {MeteringTimeoutError | MeteringAbortError}
 */
export async function withDeadline<Result>(
  milliseconds: number,
  abortSignal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  if (abortSignal?.aborted) throw new MeteringAbortError(abortSignal.reason)
  const controller = new AbortController()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const end = (error: Error) => {
    reject(error)
    controller.abort(error)
  }
  const abort = () => end(new MeteringAbortError(abortSignal?.reason))
  const timer = setTimeout(() => end(new MeteringTimeoutError(milliseconds)), milliseconds)
  abortSignal?.addEventListener('abort', abort)
  try {
    return await Promise.race([work(controller.signal), ended])
  } finally {
    clearTimeout(timer)
    abortSignal?.removeEventListener('abort', abort)
  }
}
