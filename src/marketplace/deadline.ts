import { MeteringAbortError, MeteringTimeoutError } from './errors.ts'

interface DeadlineOptions {
  readonly abortSignal?: AbortSignal | undefined
  /** The error where `work` is not AWS's answer. */
  readonly late?: () => Error
}

/**
 * Runs `work` for at most `milliseconds`, and no longer than until `abortSignal` says so, even where it does not
 * listen to the signal that it is given.
 *
 * @throws {MeteringTimeoutError | MeteringAbortError}
 */
export async function withDeadline<Result>(
  milliseconds: number,
  work: (signal: AbortSignal) => Promise<Result>,
  { abortSignal, late = () => new MeteringTimeoutError(milliseconds) }: DeadlineOptions = {},
): Promise<Result> {
  if (abortSignal?.aborted) throw new MeteringAbortError(abortSignal.reason)
  const controller = new AbortController()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const end = (error: Error) => {
    reject(error)
    controller.abort(error)
  }
  const abort = () => end(new MeteringAbortError(abortSignal?.reason))
  const timer = setTimeout(() => end(late()), milliseconds)
  abortSignal?.addEventListener('abort', abort)
  try {
    return await Promise.race([work(controller.signal), ended])
  } finally {
    clearTimeout(timer)
    abortSignal?.removeEventListener('abort', abort)
  }
}
