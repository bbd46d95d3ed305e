import type { ServerResponse } from 'node:http'

/** What the buyer gets to read. All of it is text, nothing is HTML. */
export interface Page {
  readonly status: number
  readonly title: string
  readonly paragraphs: readonly string[]
  readonly key?: string
  /** A button that posts these fields to the same address. */
  readonly form?: { readonly label: string; readonly fields: Readonly<Record<string, string>> }
  readonly headers?: Readonly<Record<string, string>>
}

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  // A key is shown once: not from a cache, not in a frame, and no script runs beside it.
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  // With less than this, our own button would come from nowhere.
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  // A server that is shutting down has nobody to wait for.
  connection: 'close',
}

const STYLE =
  ':root{color-scheme:light dark;font:1.0625rem/1.6 system-ui,sans-serif}' +
  'body{max-width:38rem;margin:12vh auto;padding:0 1.25rem}h1{font-size:1.5rem;line-height:1.25}' +
  'code{display:block;padding:.75rem 1rem;border:1px solid;border-radius:.5rem;overflow-wrap:anywhere;user-select:all}' +
  'button{font:inherit;padding:.5rem 1rem}'

export function sendPage(response: ServerResponse, page: Page): void {
  if (response.destroyed) return
  const body = Buffer.from(html(page))
  response.writeHead(page.status, { ...HEADERS, ...page.headers, 'content-length': body.length })
  response.end(body)
}

function html({ title, paragraphs, key, form }: Page): string {
  const fields = Object.entries(form?.fields ?? {}).map(
    ([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`,
  )
  return [
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style><h1>${escaped(title)}</h1>`,
    ...paragraphs.map(paragraph => `<p>${escaped(paragraph)}</p>`),
    ...(key === undefined ? [] : [`<code id="api-key">${escaped(key)}</code>`]),
    ...(form === undefined
      ? []
      : [`<form method="post">${fields.join('')}<button>${escaped(form.label)}</button></form>`]),
    '</html>',
  ].join('\n')
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, character => ENTITIES[character] as string)
}
