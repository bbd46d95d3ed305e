import { registerHooks } from 'node:module'

/**
 * One change to a file of the source, made as it is loaded, so that a harness can show that it finds what it is there
 * to find.
 */
export type Mutation = readonly [file: string, text: string, instead: string]

/** Node's arguments for a process that runs the source with a change. */
export function mutated(mutation: Mutation | undefined): string[] {
  if (mutation === undefined) return []
  const module = `import { mutate } from ${JSON.stringify(import.meta.url)}; mutate(...${JSON.stringify(mutation)})`
  return ['--import', `data:text/javascript,${encodeURIComponent(module)}`]
}

export function mutate(...[file, text, instead]: Mutation): void {
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context)
      if (!url.endsWith(`/src/${file}`)) return loaded
      const source = String(loaded.source)
      // A change that changes nothing would prove nothing.
      if (!source.includes(text)) throw new Error(`There is no "${text}" in ${file}.`)
      return { ...loaded, source: source.replace(text, instead) }
    },
  })
}
