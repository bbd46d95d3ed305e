import { Server } from 'node:net'

/**
 * What is around a process that is tried: loaded before its own code, which is as it is. Its clock is ahead of the
 * machine's by `CLOCK_AHEAD` milliseconds, so that an hour is over when the next process starts, and its parent is told
 * of the port where it listens.
 */
const ahead = Number(process.env.CLOCK_AHEAD)
const RealDate = Date
const now = () => RealDate.now() + ahead

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
})

const { listen } = Server.prototype
Server.prototype.listen = function (this: Server, ...args: Parameters<typeof listen>) {
  this.once('listening', () => process.send?.(this.address()))
  return listen.apply(this, args)
} as typeof listen
