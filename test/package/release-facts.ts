/** What only its owner knows of a package, as `package.json` has it: nothing else asks for it. */
const FACTS: Readonly<Record<string, readonly [expected: string, holds: (value: never) => boolean]>> = {
  author: [
    'who publishes it, such as "Name <address>"',
    (value: unknown) => text(value) || text(member(value, 'name')),
  ],
  repository: [
    'where the source is, as {"type": "git", "url": "git+https://….git"}: provenance is proven by it, and npm\'s page resolves links by it',
    (value: unknown) =>
      member(value, 'type') === 'git' && /^git\+https:\/\/[^\s…]+\.git$/.test(String(member(value, 'url'))),
  ],
  homepage: ['https://…, where it is explained', (value: unknown) => isAddress(value)],
  bugs: ['where faults are told, as {"url": "https://…"}', (value: unknown) => isAddress(member(value, 'url'))],
}

const text = (value: unknown): boolean => typeof value === 'string' && value.trim() !== ''
const member = (value: unknown, name: string): unknown => (value as Record<string, unknown> | undefined)?.[name]
const isAddress = (value: unknown): boolean => typeof value === 'string' && /^https:\/\/[^\s…]+$/.test(value)

/** What is missing before a package can be published. */
export function factProblems(manifest: Readonly<Record<string, unknown>>): string[] {
  const missing = Object.entries(FACTS).flatMap(([name, [expected, holds]]) =>
    holds(manifest[name] as never) ? [] : `package.json: expected "${name}", ${expected}`,
  )
  return 'private' in manifest ? [...missing, 'package.json: expected no "private"'] : missing
}

/** What is wrong with a changelog when this version is released. */
export function changelogProblems(changelog: string, version: string): string[] {
  const headings = [...changelog.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading as string)
  const [, of, date = ''] = /^(\S+) \((\d{4}-\d\d-\d\d)\)$/.exec(headings[0] ?? '') ?? []
  return [
    ...(headings.some(heading => /unreleased/i.test(heading))
      ? [`CHANGELOG.md: what is unreleased is of a version: expected "## ${version} (its date)"`]
      : []),
    ...(of === version && !Number.isNaN(Date.parse(date))
      ? []
      : [`CHANGELOG.md: expected "## ${version} (2027-01-31)" first, got "## ${headings[0] ?? ''}"`]),
  ]
}

/** Whether a tag is of a version. Without a tag it is only tried. */
export function tagProblems(tag: string | undefined, version: string): string[] {
  return tag === undefined || tag === `v${version}` ? [] : [`expected the tag v${version}, got ${tag}`]
}
