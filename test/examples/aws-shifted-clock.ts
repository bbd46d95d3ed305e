/**
 * Loaded before a process's own code: its clock runs ahead of the machine's by what the parent sends. The hour that a
 * test waits for is over at once, and the code under test is as it is.
 */
const RealDate = Date
let ahead = 0

process.on('message', (message: { ahead: number }) => {
  ahead = message.ahead
})
process.channel?.unref()

const now = () => RealDate.now() + ahead

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
})
