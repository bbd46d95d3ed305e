import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Mutant } from './mutants.ts'
import type { Edit } from './table.ts'

export const ROOT = join(import.meta.dirname, '../..')
const COPIED = ['src', 'test', 'examples', 'package.json', 'tsconfig.json']

/** How often an edit's text occurs in a project. */
export function occurrences({ file, text }: Edit, root = ROOT): number {
  return readFileSync(join(root, 'src', file), 'utf8').split(text).length - 1
}

/** A copy of the project, to be spoilt. */
export class Project implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'mutation-'))

  constructor() {
    for (const name of COPIED) {
      cpSync(join(ROOT, name), join(this.folder, name), {
        recursive: true,
        filter: source => basename(source) !== 'node_modules' && !basename(source).startsWith('blocks-'),
      })
    }
    for (const name of ['node_modules', 'test/sdk-metrics-2/node_modules']) {
      mkdirSync(join(this.folder, name, '..'), { recursive: true })
      symlinkSync(join(ROOT, name), join(this.folder, name))
    }
  }

  /** A mistake that is not made would prove nothing. */
  apply(edit: Edit): void {
    const path = join(this.folder, 'src', edit.file)
    const times = occurrences(edit, this.folder)
    if (times !== 1)
      throw new Error(`Expected this text once in src/${edit.file}, found it ${times} times:\n${edit.text}`)
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(edit.text, () => edit.instead),
    )
  }

  /** Makes a mistake, and returns what takes it back. */
  mutate({ file, start, text, instead }: Mutant): () => void {
    const path = join(this.folder, file)
    const whole = readFileSync(path, 'utf8')
    writeFileSync(path, whole.slice(0, start) + instead + whole.slice(start + text.length))
    return () => writeFileSync(path, whole)
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
