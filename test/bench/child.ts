import { fork } from 'node:child_process'
import { once } from 'node:events'

/** A process that measures, asked over IPC: each has a heap, caches and an event loop of its own. */
export interface Child<Question, Answer> extends AsyncDisposable {
  ask(question: Question): Promise<Answer>
}

export function startChild<Question, Answer>(file: URL, args: readonly string[] = []): Child<Question, Answer> {
  const child = fork(file, args, {
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
    serialization: 'advanced',
  })
  const gone = new Promise<never>((_, reject) =>
    child.once('exit', (code, signal) => reject(new Error(`${file} ended with ${code ?? signal}`))),
  )
  gone.catch(() => {})
  return {
    async ask(question) {
      const answered = once(child, 'message')
      child.send(question as object)
      const [answer] = await Promise.race([answered, gone])
      return answer as Answer
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.disconnect()
      await once(child, 'exit')
    },
  }
}

/** The other end: answers each question, until whoever asks is gone. */
export function answerWith<Question, Answer>(answer: (question: Question) => Answer | Promise<Answer>): void {
  process.on('message', async question => process.send?.(await answer(question as Question)))
  process.on('disconnect', () => process.exit())
}

/** Takes out the garbage of what went before, so that nobody pays for another's. */
export function collectGarbage(): void {
  globalThis.gc?.()
}
