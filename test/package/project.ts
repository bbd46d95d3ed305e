import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

const manifest = (folder: string) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))

/** What the package says of itself. */
export const ours = manifest(root)

/** What an application imports: the package, and each of its parts. */
export const entries: readonly string[] = Object.keys(ours.exports)
  .filter(path => path !== './package.json')
  .map(path => ours.name + path.slice(1))

/** What the README's first sample imports, as the README has it be installed. */
export const sampleNeeds: readonly string[] = [
  '@aws-sdk/client-marketplace-metering',
  '@opentelemetry/api',
  '@opentelemetry/sdk-metrics',
]

/** A development dependency at the version that is installed here. */
export const atOurs = (name: string): string => `${name}@${manifest(join(root, 'node_modules', name)).version}`

/** An empty project of a user's, in a folder of its own, until it is disposed. */
export class Project implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'marketplace-package-'))
  /** The project's own Node first, and nothing that npm told this process of the package around it. */
  readonly env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'))),
    PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
    AWS_ACCESS_KEY_ID: 'any',
    AWS_SECRET_ACCESS_KEY: 'any',
    NEXT_TELEMETRY_DISABLED: '1',
  }

  constructor() {
    this.write('package.json', JSON.stringify({ private: true, type: 'module' }))
  }

  /** Installs packages, and the packed package with them. */
  install(...packages: string[]): void {
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', this.folder]
    const [{ filename }] = JSON.parse(execFileSync('npm', pack, { cwd: root, env: this.env, encoding: 'utf8' }))
    this.run('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`, ...packages)
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true })
    writeFileSync(join(this.folder, path), text)
  }

  /** Runs a command there and returns what it prints. */
  run(command: string, ...args: string[]): string {
    return this.runIn('.', command, ...args)
  }

  runIn(folder: string, command: string, ...args: string[]): string {
    const options = { cwd: resolve(this.folder, folder), env: this.env, encoding: 'utf8' } as const
    return execFileSync(command, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  }

  /** Starts a command that goes on. */
  start(folder: string, env: NodeJS.ProcessEnv, command: string, ...args: string[]): ChildProcess {
    return spawn(command, args, { cwd: resolve(this.folder, folder), env: { ...this.env, ...env }, stdio: 'inherit' })
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
