import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Stands between senders and a gateway, and loses answers: the gateway has the request, its sender does not know. */
export class LossyProxy implements AsyncDisposable {
  /** The gateway's port, as long as there is one. */
  target: number | undefined
  /** How many of the next answers are lost, with their connections. */
  losing = 0
  lost = 0
  readonly #server = createServer(client => this.#forward(client))
  readonly #sockets = new Set<Socket>()

  static async open(): Promise<LossyProxy> {
    const proxy = new LossyProxy()
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  #forward(client: Socket): void {
    if (this.target === undefined) return void client.destroy()
    const gateway = connect(this.target, '127.0.0.1')
    const cut = () => {
      client.destroy()
      gateway.destroy()
    }
    for (const socket of [client, gateway]) {
      this.#sockets.add(socket)
      socket.on('error', cut).on('close', () => {
        this.#sockets.delete(socket)
        cut()
      })
    }
    let asked = false
    client.on('data', bytes => {
      asked = true
      gateway.write(bytes)
    })
    gateway.on('data', bytes => {
      if (asked && this.losing > 0) {
        this.losing -= 1
        this.lost += 1
        cut()
        return
      }
      asked = false
      client.write(bytes)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}
