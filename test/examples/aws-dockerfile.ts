import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const CONTEXT = fileURLToPath(new URL('../..', import.meta.url))
const DOCKERFILE = join(CONTEXT, 'examples/aws/Dockerfile')
const run = promisify(execFile)

interface Stage {
  readonly image: string
  readonly root: string
  workdir: string
}

/** What Docker would start a container with, in a folder in place of the image's file system. */
export interface Image {
  /** Where the image's `/` is. */
  readonly root: string
  readonly workdir: string
  readonly env: Record<string, string>
  readonly cmd: string[]
  readonly healthcheck: string[]
  readonly user: string
  readonly stopSignal: string
  readonly volumes: string[]
  readonly expose: string[]
}

/** Does what the Dockerfile says, as far as it can be done without Docker: the instructions that ours has, no others. */
export async function build(folder: string): Promise<Image> {
  const args: Record<string, string> = {}
  const stages = new Map<string, Stage>()
  const image: { -readonly [Member in keyof Image]: Image[Member] } = {
    root: '',
    workdir: '/',
    env: {},
    cmd: [],
    healthcheck: [],
    user: 'root',
    stopSignal: 'SIGTERM',
    volumes: [],
    expose: [],
  }
  let stage: Stage = { image: '', root: folder, workdir: '/' }
  const inStage = (path: string) => join(stage.root, path.startsWith('/') ? path : join(stage.workdir, path))
  for (const [instruction, rest] of instructions(args)) {
    switch (instruction) {
      case 'ARG': {
        const [name = '', value = ''] = split(rest, '=')
        args[name] = value.replace(/^"(.*)"$/, '$1')
        break
      }
      case 'FROM': {
        const [from = '', , name = 'final'] = rest.split(' ')
        stage = { image: from, root: join(folder, name), workdir: '/' }
        stages.set(name, stage)
        break
      }
      case 'WORKDIR':
        stage.workdir = rest
        mkdirSync(inStage('.'), { recursive: true })
        break
      case 'COPY': {
        const words = rest.split(' ')
        const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined
        const to = words.pop() as string
        for (const path of words) {
          const source = from === undefined ? join(CONTEXT, path) : join((stages.get(from) as Stage).root, path)
          const target = to.endsWith('/') ? join(inStage(to), path) : inStage(to)
          mkdirSync(dirname(target), { recursive: true })
          cpSync(source, target, { recursive: true, filter: file => from !== undefined || !ignored(file) })
        }
        break
      }
      case 'RUN': {
        const made = /^install -d -o node -g node (\/\w+)$/.exec(rest)?.[1]
        // The only one that needs root and a user of the image.
        if (made !== undefined) mkdirSync(inStage(made), { recursive: true })
        else await run('sh', ['-c', rest], { cwd: inStage('.'), env: { ...process.env, ...args } })
        break
      }
      case 'ENV':
        for (const pair of rest.split(' ')) {
          const [name = '', value = ''] = split(pair, '=')
          image.env[name] = value
        }
        break
      case 'CMD':
        image.cmd = JSON.parse(rest)
        break
      case 'HEALTHCHECK':
        image.healthcheck = JSON.parse(rest.slice(rest.indexOf('CMD') + 3))
        break
      case 'USER':
        image.user = rest
        break
      case 'STOPSIGNAL':
        image.stopSignal = rest
        break
      case 'VOLUME':
        image.volumes.push(rest)
        break
      case 'EXPOSE':
        image.expose.push(rest)
        break
      default:
        throw new Error(`The Dockerfile has ${instruction}, which this test does not do`)
    }
  }
  return { ...image, root: stage.root, workdir: stage.workdir }
}

/** The base images, as they are named. */
export function baseImages(): string[] {
  return instructions({}).flatMap(([name, rest]) =>
    name === 'ARG' && rest.startsWith('NODE_IMAGE=') ? [rest.slice('NODE_IMAGE='.length)] : [],
  )
}

function instructions(args: Record<string, string>): [instruction: string, rest: string][] {
  return readFileSync(DOCKERFILE, 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [instruction = '', rest = ''] = split(line, ' ')
      return [instruction, rest.replaceAll(/\$\{(\w+)\}/g, (whole, name) => args[name] ?? whole)]
    })
}

/** What `Dockerfile.dockerignore` keeps out of the folders that are copied. */
function ignored(file: string): boolean {
  const path = relative(CONTEXT, file)
  return /(^|\/)node_modules(\/|$)|\.sqlite|(^|\/)api-keys[^/]*\.json$/.test(path)
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + 1)]
}
