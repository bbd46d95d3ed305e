import { createHash } from 'node:crypto'
import { STYLE } from './style.ts'

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#1f6feb"/><path d="M4 11V8m4 3V4m4 7V6" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>`

/** Drawn here, so that no font has to have them. */
const SYMBOLS = Object.entries({
  check: '<path d="M3.5 8.5l3 3 6-7"/>',
  warning: '<path d="M8 2.5l6 11H2zM8 6.8v3M8 11.6v.2"/>',
  cross: '<path d="M4 4l8 8M12 4l-8 8"/>',
  up: '<path d="M8 13V3.5M4 7.5l4-4 4 4"/>',
  hand: '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
  clock: '<circle cx="8" cy="8" r="5.5"/><path d="M8 4.8V8l2.2 1.6"/>',
  glass: '<path d="M4.5 3h7M4.5 13h7M5.5 3c0 4 5 6 5 10M10.5 3c0 4-5 6-5 10"/>',
  on: '<path d="M3 8h9M8.5 4.5L12 8l-3.5 3.5"/>',
  idle: '<path d="M6 8h4"/>',
}).map(([name, paths]) => `<symbol id="icon-${name}" viewBox="0 0 16 16">${paths}</symbol>`)

const BODY = `<a class="skip" href="#main">Skip to the content</a>
<svg class="symbols" aria-hidden="true">${SYMBOLS.join('')}</svg>
<header>
<p class="brand">marketplace-meter</p>
<p id="freshness">Loading…</p>
</header>
<p id="notice" class="notice" role="alert" hidden></p>
<main id="main" tabindex="-1">
<noscript><p class="notice">This page needs JavaScript. The same figures are in <a href="status.json">status.json</a>, and <code>marketplace-meter status</code> prints them.</p></noscript>
<div id="headline" class="headline" role="status"><h1>Asking the gateway…</h1></div>
<div id="content" hidden>
<section aria-labelledby="find-title">
<h2 id="find-title">Find a customer</h2>
<form id="find-form" role="search" aria-labelledby="find-title">
<label for="find-text">Account id, licence, tenant or older identifier: a part is enough.</label>
<p class="field"><input id="find-text" type="search" maxlength="600" autocomplete="off" autocapitalize="off" spellcheck="false" required><button>Find</button></p>
</form>
<p id="find-said" class="none" role="status"></p>
<div id="found"></div>
</section>
<section aria-labelledby="hours-title">
<h2 id="hours-title">Hours</h2>
<p class="lead">AWS takes one record for each customer, dimension and hour. An hour is closed a little after its end, and its records are sent then.</p>
<div id="hours"></div>
<details><summary>Counts of each hour</summary><div id="hour-counts"></div></details>
</section>
<section aria-labelledby="usage-title">
<h2 id="usage-title">Where usage stands <small id="totals-at"></small></h2>
<div id="usage" class="cards"></div>
<div id="waiting"></div>
<div id="reconciled"></div>
<details><summary>What the words mean</summary>
<dl class="words">
<dt>Recorded</dt><dd>All usage that the ledger has acknowledged, since it began.</dd>
<dt>Included</dt><dd>Contracts pay for it, and it is not metered.</dd>
<dt>Metered</dt><dd>AWS answered Success: it is billed.</dd>
<dt>Pending</dt><dd>In records that have no final answer yet.</dd>
<dt>Held</dt><dd>A person has to decide.</dd>
<dt>Balance</dt><dd>Not in a record yet: open hours, fractions of a unit, what came late, what has no customer.</dd>
<dt>By a tag</dt><dd>What the records of the last 48 hours are for, all customers together: their buyers' bills have these tags.</dd>
<dt>Waiting</dt><dd>Counted by others, and not recorded: whether it is usage cannot be told yet.</dd>
</dl>
</details>
</section>
<section aria-labelledby="held-title">
<h2 id="held-title">Held records <small id="held-count"></small></h2>
<div id="held"></div>
</section>
<section aria-labelledby="customers-title">
<h2 id="customers-title">Oldest unsettled usage</h2>
<div id="deadline"></div>
<div id="customers"></div>
<div id="agreements"></div>
</section>
<section aria-labelledby="unattributed-title">
<h2 id="unattributed-title">Usage without a customer</h2>
<div id="unattributed"></div>
</section>
<section aria-labelledby="supply-title">
<h2 id="supply-title">What comes in</h2>
<p class="lead">To this gateway, since it started.</p>
<div id="sources"></div>
<div id="senders"></div>
<div id="refused"></div>
<div id="unbillable"></div>
<div id="not-taken"></div>
</section>
<section aria-labelledby="gateway-title">
<h2 id="gateway-title">This gateway</h2>
<div id="gateway"></div>
</section>
</div>
</main>
<p id="said" class="hidden" role="status"></p>
<footer><p>All times are UTC. The same figures for programs: <a href="status.json">status.json</a>, <a href="metrics">metrics</a>.</p></footer>`

/** The status page: one answer with all it needs, which fetches `status.json` and `customers.json` beside itself. */
export interface StatusPage {
  readonly html: string
  /** Its content security policy: nothing from elsewhere, and no script but its own. */
  readonly policy: string
}

let made: Promise<StatusPage> | undefined

/** The same for all who ask. */
export function statusPage(): Promise<StatusPage> {
  made ??= makePage()
  return made
}

async function makePage(): Promise<StatusPage> {
  // Its types are a browser's, and not for the rest of this program: so the type checker is not to follow it from here.
  const { showStatus } = (await import('./browser/script.ts' as string)) as { showStatus: () => void }
  const { findCustomer } = (await import('./browser/customer.ts' as string)) as { findCustomer: () => void }
  const script = `'use strict';(${showStatus})(${findCustomer})`
  return { html: pageHtml(script), policy: policyFor(script) }
}

const pageHtml = (script: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>marketplace-meter</title>
<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(ICON)}">
<style>${STYLE}</style>
</head>
<body>
${BODY}
<script>${script}</script>
</body>
</html>
`

function policyFor(script: string): string {
  return [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(STYLE)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
