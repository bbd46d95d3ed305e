import type { Server, Socket } from 'node:net'
import { hostOf } from './addresses.ts'
import type { Sender } from './senders.ts'

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
  /** Whether a good token came with metrics on it: it may stay, though they cannot be taken now. */
  trusted: boolean
  /** Whose it is, a sender of a host: known when something was taken on it. */
  holder: string | undefined
  /** Ends it without cutting anything off, where its protocol has a word for that. */
  retire?: () => void
}

/** All connections, or those of one host. */
class Group {
  open = 0
  /** The oldest first, as sets keep them. */
  readonly unproven = new Set<Connection>()
  /** Of each holder the longest idle first. */
  readonly #held = new Map<string, Set<Connection>>()

  add(connection: Connection): void {
    this.open++
    this.unproven.add(connection)
  }

  /** Makes it the last used one of its holder. */
  use(connection: Connection): void {
    const { holder } = connection
    if (holder === undefined) return
    this.unproven.delete(connection)
    const own = this.#held.get(holder) ?? new Set()
    own.delete(connection)
    this.#held.set(holder, own.add(connection))
  }

  remove(connection: Connection): void {
    const { holder = '' } = connection
    this.open--
    this.unproven.delete(connection)
    const own = this.#held.get(holder)
    own?.delete(connection)
    if (own?.size === 0) this.#held.delete(holder)
  }

  /** The longest idle one of who holds the most. Of those that hold as many, the one idle for longest. */
  get idle(): Connection | undefined {
    let most = 0
    let idle: Connection | undefined
    for (const own of this.#held.values()) {
      const [first] = own
      if (first === undefined || own.size < most) continue
      if (own.size > most || idle === undefined || first.usedAt < idle.usedAt) idle = first
      most = own.size
    }
    return idle
  }
}

/**
 * The connections of a receiver. Where there is no room for one more, the oldest gives way on which nothing was ever
 * taken: so that silent ones, however many, do not keep senders out. If there is none, the longest idle one of who holds
 * the most: so that nobody keeps others out. The steps that takes do not depend on how many there are, but for the last,
 * where it is how many senders there are.
 */
export class Connections {
  readonly #limits: ConnectionLimits
  readonly #open = new Map<string, Connection>()
  readonly #known = new WeakMap<object, Connection>()
  readonly #hosts = new Map<string, Group>()
  readonly #all = new Group()
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
      this.#admit(socket)
      for (const listener of serve) listener.call(server, socket)
    })
  }

  /** The connection that a socket is of, or the TLS in it, or a session: what has a remote address and port. */
  of(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): Connection | undefined {
    const known = this.#known.get(socket) ?? this.#open.get(nameOf(socket))
    if (known !== undefined) this.#known.set(socket, known)
    return known
  }

  /** A request came on it. */
  use(connection: Connection | undefined): void {
    if (connection === undefined) return
    connection.usedAt = this.#limits.now()
    for (const group of this.#groupsOf(connection)) group.use(connection)
  }

  /** Something of a sender was taken on it. */
  prove(connection: Connection | undefined, sender: Sender): void {
    if (connection === undefined || connection.holder !== undefined) return
    connection.holder = `${connection.host} ${sender.name}`
    for (const group of this.#groupsOf(connection)) group.use(connection)
  }

  /** Whether its next answer is to be its last. */
  isOverdue({ holder, trusted, since }: Connection): boolean {
    return holder === undefined && !trusted && this.#limits.now() - since >= this.#limits.unprovenFor
  }

  /** Closes those that nothing was taken on in all their time, and asks those to go that are idle. */
  sweep(): void {
    const { unprovenFor, idleFor, now } = this.#limits
    const time = now()
    for (const connection of this.#all.unproven) {
      const age = time - connection.since
      if (age < unprovenFor) break
      if (connection.trusted) continue
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

  #admit(socket: Socket): void {
    const { most, mostPerAddress, now } = this.#limits
    const name = nameOf(socket)
    // One that has gone already, which is told later. All that had gone before they were seen have the same name.
    const former = this.#open.get(name)
    if (former !== undefined) this.#forget(former)
    const host = hostOf(socket.remoteAddress)
    const own = this.#hosts.get(host) ?? new Group()
    if (own.open >= mostPerAddress) this.#makeRoom(own, `its address has ${mostPerAddress} at a time`)
    if (this.#all.open >= most) this.#makeRoom(this.#all, `there are ${most} at a time`)
    const time = now()
    const connection: Connection = {
      ...{ name, socket, host, since: time, usedAt: time },
      ...{ trusted: false, holder: undefined },
    }
    this.#open.set(name, connection)
    this.#hosts.set(host, own)
    for (const group of this.#groupsOf(connection)) group.add(connection)
    socket.once('close', () => this.#forget(connection))
  }

  #makeRoom(group: Group, why: string): void {
    const [oldest] = group.unproven
    if (oldest !== undefined) {
      this.#close(oldest, `${why}, and nothing had been taken on it`)
      return
    }
    const { idle } = group
    if (idle !== undefined) this.#close(idle, `${why}, and no other of who has the most of them was idle for longer`)
  }

  /** What it counts in. Nothing, when it is closed. */
  #groupsOf(connection: Connection): readonly Group[] {
    const { name, host } = connection
    return this.#open.get(name) === connection ? [this.#all, this.#hosts.get(host) as Group] : []
  }

  #close(connection: Connection, why: string): void {
    this.#limits.onClosed(`A connection was closed: ${why}`)
    connection.socket.destroy()
    this.#forget(connection)
  }

  #forget(connection: Connection): void {
    for (const group of this.#groupsOf(connection)) group.remove(connection)
    const { name, host } = connection
    if (this.#open.get(name) === connection) this.#open.delete(name)
    if (this.#hosts.get(host)?.open === 0) this.#hosts.delete(host)
  }
}

function nameOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`
}
