import type { Server, Socket } from 'node:net'
import { hostOf } from './addresses.ts'

export interface ConnectionLimits {
  /** How many there may be at a time. */
  readonly most: number
  /** How many of one host there may be at a time. */
  readonly mostPerAddress: number
  /** How long one may last, in milliseconds, on which nothing was taken: then it is asked to go, and after twice that closed. */
  readonly unprovenFor: number
  /** After how long without a request one that can be asked to go is asked to, in milliseconds. */
  readonly idleFor: number
  /** Milliseconds on a clock that only goes forward. */
  readonly now: () => number
  /** Told of each that is closed, and why. */
  readonly onClosed: (why: string) => void
}

/** A connection to a receiver. */
export interface Connection {
  /** Its remote address and port. */
  readonly name: string
  readonly socket: Socket
  readonly host: string
  readonly since: number
  /** When its last request came. */
  usedAt: number
  /** Whether something was taken on it: who has a good token, or sends what is good, is no stranger any more. */
  proven: boolean
  /** Ends it without cutting anything off, where its protocol has a word for that. */
  retire?: () => void
}

interface Host {
  open: number
  readonly unproven: Set<Connection>
}

/**
 * The connections of a receiver. Where there is no room for one more, the oldest gives way on which nothing was ever
 * taken: so that silent ones, however many, do not keep senders out. All in steps that do not depend on how many there are.
 */
export class Connections {
  readonly #limits: ConnectionLimits
  readonly #open = new Map<string, Connection>()
  readonly #known = new WeakMap<object, Connection>()
  readonly #hosts = new Map<string, Host>()
  /** The oldest first, as sets keep them. */
  readonly #unproven = new Set<Connection>()
  readonly #sweeping: NodeJS.Timeout

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#sweeping = setInterval(() => this.sweep(), Math.min(limits.unprovenFor, 5000)).unref()
  }

  /** Those that are open. */
  get all(): Iterable<Connection> {
    return this.#open.values()
  }

  /** From now on a server sees only connections there is room for. */
  guard(server: Server): void {
    const serve = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      if (!this.#admit(socket)) return
      for (const listener of serve) listener.call(server, socket)
    })
  }

  /** The connection that a socket is of, or the TLS in it, or a session: what has a remote address and port. */
  of(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): Connection | undefined {
    const known = this.#known.get(socket) ?? this.#open.get(nameOf(socket))
    if (known !== undefined) this.#known.set(socket, known)
    return known
  }

  /** Something was taken on it. */
  prove(connection: Connection | undefined): void {
    if (connection === undefined || connection.proven) return
    connection.proven = true
    this.#unproven.delete(connection)
    this.#hosts.get(connection.host)?.unproven.delete(connection)
  }

  /** Whether its next answer is to be its last. */
  isOverdue({ proven, since }: Connection): boolean {
    return !proven && this.#limits.now() - since >= this.#limits.unprovenFor
  }

  /** Closes those that nothing was taken on in all their time, and asks those to go that are idle. */
  sweep(): void {
    const { unprovenFor, idleFor, now } = this.#limits
    const time = now()
    for (const connection of this.#unproven) {
      const age = time - connection.since
      if (age < unprovenFor) break
      if (age < 2 * unprovenFor) connection.retire?.()
      else this.#close(connection, `it sent nothing that could be taken within ${(2 * unprovenFor) / 1000} s`)
    }
    for (const connection of this.#open.values()) if (time - connection.usedAt >= idleFor) connection.retire?.()
  }

  /** Cuts off what is open. */
  end(): void {
    clearInterval(this.#sweeping)
    for (const { socket } of this.all) socket.destroy()
  }

  #admit(socket: Socket): boolean {
    const { most, mostPerAddress, now } = this.#limits
    const host = hostOf(socket.remoteAddress)
    const own = this.#hosts.get(host) ?? { open: 0, unproven: new Set() }
    if (
      own.open >= mostPerAddress &&
      !this.#makeRoom(own.unproven, `its address has ${mostPerAddress} at a time`, socket)
    )
      return false
    if (this.#open.size >= most && !this.#makeRoom(this.#unproven, `there are ${most} at a time`, socket)) return false
    const time = now()
    const connection: Connection = { name: nameOf(socket), socket, host, since: time, usedAt: time, proven: false }
    this.#open.set(connection.name, connection)
    this.#hosts.set(host, own)
    this.#unproven.add(connection)
    own.unproven.add(connection)
    own.open++
    socket.once('close', () => this.#forget(connection))
    return true
  }

  /** Whether there is room for `newcomer` now. If not, it is closed. */
  #makeRoom(unproven: ReadonlySet<Connection>, why: string, newcomer: Socket): boolean {
    const [oldest] = unproven
    if (oldest !== undefined) {
      this.#close(oldest, `${why}, and nothing had been taken on it`)
      return true
    }
    this.#limits.onClosed(`A connection was closed: ${why}, and senders are at work on all of them`)
    newcomer.destroy()
    return false
  }

  #close(connection: Connection, why: string): void {
    this.#limits.onClosed(`A connection was closed: ${why}`)
    connection.socket.destroy()
    this.#forget(connection)
  }

  #forget(connection: Connection): void {
    const { name, host } = connection
    if (this.#open.get(name) !== connection) return
    this.#open.delete(name)
    this.#unproven.delete(connection)
    const own = this.#hosts.get(host) as Host
    own.unproven.delete(connection)
    if (--own.open === 0) this.#hosts.delete(host)
  }
}

function nameOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`
}
