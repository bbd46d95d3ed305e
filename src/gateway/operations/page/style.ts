/** The status page's style. Colours come in pairs, for light and dark; nothing is told by colour alone. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fafaf8; --card: #ffffff; --ink: #1a1d21; --soft: #565e68; --line: #dfe1e4; --code: #f0f1f2;
  --good: #17703f; --good-tint: #e3f3ea; --sent: #1d58b0; --sent-tint: #e4edfa;
  --held: #8a4b00; --held-tint: #fdefd8; --bad: #a82118; --bad-tint: #fce7e5; --rest: #8a929c; --rest-tint: #eef0f2;
  --link: #1d58b0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #111317; --card: #191c21; --ink: #e7e9ec; --soft: #a3acb7; --line: #2e333b; --code: #23272e;
    --good: #56c98a; --good-tint: #14301f; --sent: #84b3ff; --sent-tint: #16283f;
    --held: #f0b35c; --held-tint: #38270e; --bad: #ff9389; --bad-tint: #401916; --rest: #6f7985; --rest-tint: #22262c;
    --link: #84b3ff;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 0 1.25rem 3rem; max-width: 78rem; background: var(--paper); color: var(--ink);
  font: 0.9375rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word; -webkit-text-size-adjust: 100%;
}
h1, h2, h3, p, ul, ol, dl, dd { margin: 0; padding: 0 }
ul, ol { list-style: none }
a { color: var(--link) }
code { font: 0.8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px }
small { font-size: 0.8125rem; font-weight: 400; color: var(--soft) }
.soft { color: var(--soft) }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.skip { position: absolute; left: -100vw }
.skip:focus { left: 1rem; top: 0.5rem; padding: 0.25rem 0.5rem; background: var(--card) }
.symbols { display: none }
.icon {
  width: 1em; height: 1em; flex: none; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round;
  stroke-linejoin: round;
}

header {
  display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; padding: 1rem 0 0.625rem;
  border-bottom: 1px solid var(--line); color: var(--soft); font-size: 0.8125rem;
}
.brand { font-weight: 600; color: var(--ink) }
.notice {
  margin: 1rem 0 0; padding: 0.625rem 0.875rem; border-left: 4px solid var(--bad); background: var(--bad-tint);
  color: var(--ink);
}
#main:focus { outline: none }

.headline { margin: 2.25rem 0 0.5rem; display: grid; grid-template-columns: auto 1fr; gap: 0 0.875rem }
.headline .badge {
  display: grid; place-items: center; width: 2.5rem; height: 2.5rem; border-radius: 50%; font-size: 1.375rem;
}
.headline h1 {
  align-self: center; font-size: clamp(1.375rem, 1rem + 2.2vw, 2.125rem); line-height: 1.2; font-weight: 650;
  letter-spacing: -0.015em; text-wrap: balance;
}
.headline > h1:only-child { grid-column: 1 / -1 }
.headline .commands { grid-column: 2; max-width: 62rem }
.headline ul { grid-column: 2; max-width: 62rem; margin-top: 0.625rem; color: var(--soft) }
.headline li + li { margin-top: 0.375rem }
.good .badge { background: var(--good-tint); color: var(--good) }
.attention .badge { background: var(--held-tint); color: var(--held) }
.trouble .badge { background: var(--bad-tint); color: var(--bad) }
.empty .badge { background: var(--rest-tint); color: var(--soft) }

button, input {
  font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--rest); border-radius: 6px;
}
button { padding: 0.125rem 0.625rem; cursor: pointer }
button:hover { border-color: var(--link); color: var(--link) }
input { flex: 1; min-width: 0; padding: 0.3125rem 0.625rem }
.field { display: flex; gap: 0.5rem; max-width: 38rem; margin-top: 0.375rem }
.field button { padding: 0.3125rem 1rem }
form label { color: var(--soft) }

section { margin-top: 2.5rem }
h2 { font-size: 1.125rem; line-height: 1.35; font-weight: 650; letter-spacing: -0.005em }
h3, h4, h5 { margin: 0; font-size: 0.9375rem; font-weight: 600; overflow-wrap: anywhere }
h2 small { margin-left: 0.375rem }
.lead { max-width: 44rem; margin-top: 0.25rem; color: var(--soft) }
.none { margin-top: 0.375rem; color: var(--soft); max-width: 44rem }
details { margin-top: 0.75rem }
summary { width: fit-content; cursor: pointer; color: var(--link); font-size: 0.875rem }
.words { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin-top: 0.5rem; font-size: 0.875rem }
.words dt { font-weight: 600 }
.words dd { color: var(--soft) }

.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin-top: 0.625rem; font-size: 0.8125rem; color: var(--soft) }
.legend li { display: flex; align-items: center; gap: 0.375rem }
.legend .key { width: 1.25rem; height: 1.25rem; padding: 0.1875rem; border-radius: 4px }
.day { display: grid; grid-template-columns: 5.25rem 1fr; gap: 0 0.5rem; margin-top: 0.75rem }
.day h3 { padding-top: 0.5rem; font-size: 0.8125rem; color: var(--soft) }
.cells { display: grid; grid-template-columns: repeat(24, minmax(0, 1fr)); gap: 3px }
.cell {
  grid-column: var(--of-24); display: grid; justify-items: center; gap: 1px; padding: 0.25rem 0 0.3125rem; min-width: 0;
  border-radius: 5px; font-size: 0.75rem; line-height: 1.25;
}
.cell .icon { width: 0.9375rem; height: 0.9375rem }
.cell .hour { color: var(--soft); font-size: 0.6875rem }
.cell .count { min-height: 1.25em; color: var(--ink); font-weight: 600; white-space: nowrap }
.settled { background: var(--good-tint); color: var(--good) }
.sending { background: var(--sent-tint); color: var(--sent) }
.held { background: var(--held-tint); color: var(--held) }
.late { background: var(--bad-tint); color: var(--bad) }
.open, .closing { background: var(--card); color: var(--soft); box-shadow: inset 0 0 0 1px var(--line) }
.idle { background: var(--rest-tint); color: var(--soft) }

.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1rem; margin-top: 0.75rem }
.card { padding: 1rem 1.125rem 1.125rem; border: 1px solid var(--line); border-radius: 10px; background: var(--card); min-width: 0 }
.bar { display: flex; gap: 2px; height: 0.625rem; margin: 0.75rem 0 0.625rem; border-radius: 5px; overflow: hidden; background: var(--rest-tint) }
.bar span { min-width: 3px }
.of-included { background: var(--good-tint); box-shadow: inset 0 0 0 1px var(--good) }
.of-metered { background: var(--good) }
.of-pending { background: var(--sent) }
.of-held { background: repeating-linear-gradient(45deg, var(--held) 0 3px, var(--held-tint) 3px 6px) }
.of-balance { background: var(--rest) }
.swatch { display: inline-block; width: 0.625rem; height: 0.625rem; margin-right: 0.5rem; border-radius: 2px }

table { width: 100%; border-collapse: collapse; font-size: 0.875rem }
th { text-align: left; font-weight: 600 }
thead th { padding: 0 1.25rem 0.25rem 0; font-size: 0.75rem; color: var(--soft); vertical-align: bottom }
td, tbody th { padding: 0.4375rem 1.25rem 0.4375rem 0; border-top: 1px solid var(--line); vertical-align: top }
tr > :last-child { padding-right: 0 }
.number { text-align: right; white-space: nowrap }
.anywhere { overflow-wrap: anywhere }
.line { white-space: nowrap }
.figures td, .figures tbody th { padding-top: 0.1875rem; padding-bottom: 0.1875rem; border: 0; font-weight: 400 }
.figures tr.sum > * { padding-bottom: 0.375rem; font-weight: 650; border-bottom: 1px solid var(--line) }
.figures tr.sum + tr > * { padding-top: 0.4375rem }
.figures .share { width: 4.5rem; color: var(--soft) }
.proof { display: flex; align-items: center; gap: 0.375rem; margin-top: 0.625rem; font-size: 0.8125rem; color: var(--soft) }
.split { margin-top: 0.75rem; padding-top: 0.625rem; border-top: 1px solid var(--line) }
.split h4 { margin: 0 0 0.25rem; font-size: 0.8125rem; overflow-wrap: anywhere }
.proof.broken { color: var(--bad); font-weight: 600 }
.counts { max-width: 46rem; margin-top: 0.5rem }
.counts td, .counts tbody th { padding-top: 0.25rem; padding-bottom: 0.25rem; font-weight: 400 }

.group { margin-top: 0.875rem; padding: 1rem 1.125rem; border: 1px solid var(--line); border-left: 4px solid var(--held); border-radius: 6px; background: var(--card) }
.group > p { max-width: 46rem; margin-top: 0.375rem }
.commands { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.375rem 0.875rem; margin: 0.75rem 0; align-items: baseline }
.commands dt { max-width: 20rem }
.commands dd { display: flex; align-items: start; gap: 0.5rem }
.copy { flex: none; min-width: 4.25rem; font-size: 0.8125rem; line-height: 1.5 }
.commands code { flex: 1; min-width: 0; padding: 0.25rem 0.5rem; border-radius: 5px; background: var(--code); overflow-wrap: anywhere; user-select: all }
.word { display: inline-block; max-width: 100% }
.wide { overflow-x: auto }
section > div > table { margin-top: 0.75rem }
.group table { margin-top: 0.75rem }

.customer { margin-top: 1rem; padding: 1rem 1.125rem; border: 1px solid var(--line); border-left: 4px solid var(--sent); border-radius: 6px; background: var(--card) }
.customer > h3 { font-size: 1.125rem }
.customer > h4 { margin-top: 1.5rem }
.customer > .none { margin-top: 1rem }
.customer .card { background: var(--paper) }
.customer table { margin-top: 0.375rem }
.hours { max-height: 24rem; margin-top: 0.375rem; overflow: auto }
.hours thead th { position: sticky; top: 0; padding-top: 0.25rem; background: var(--card) }
.hours button { font-size: 0.75rem; line-height: 1.5 }
.state { display: inline-flex; align-items: center; gap: 0.375rem; padding: 0 0.375rem; border-radius: 4px }
.metered { background: var(--good-tint); color: var(--good) }
.pending { background: var(--sent-tint); color: var(--sent) }
.none.state { background: var(--rest-tint); color: var(--soft) }
.stake { display: block; white-space: normal }
.lookup { margin-top: 0.5rem; padding: 0.75rem 0.875rem; border-left: 4px solid var(--line); background: var(--paper) }
h3:focus, h5:focus { outline: none }

.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 1rem; margin-top: 0.75rem }
.facts .big { font-size: 1.25rem; font-weight: 650; letter-spacing: -0.01em }
.facts p { font-size: 0.875rem }
.spark { display: block; width: 100%; height: 2rem; margin: 0.375rem 0 0.25rem; fill: var(--sent) }
.checks li { display: flex; align-items: baseline; gap: 0.5rem; margin-top: 0.25rem; font-size: 0.875rem }
.checks .icon { align-self: center }
.checks .ok .icon { color: var(--good) }
.checks .warning .icon { color: var(--held) }
.checks .failed .icon { color: var(--bad) }
footer { margin-top: 3rem; padding-top: 0.75rem; border-top: 1px solid var(--line); font-size: 0.8125rem; color: var(--soft) }

@media (min-width: 62rem) {
  .held-records { table-layout: fixed }
  .held-records th:nth-child(1) { width: 8% }
  .held-records th:nth-child(2) { width: 11% }
  .held-records th:nth-child(3) { width: 25% }
  .held-records th:nth-child(4) { width: 17% }
  .held-records th:nth-child(5) { width: 16% }
  .customers { table-layout: fixed }
  .customers th:nth-child(2) { width: 14% }
  .customers th:nth-child(5) { width: 18% }
  .customers th:nth-child(6) { width: 24% }
  .customers th:nth-child(3) { width: 16% }
  .customers th:nth-child(4) { width: 12% }
}
@media (max-width: 62rem) {
  .cells { grid-template-columns: repeat(12, minmax(0, 1fr)) }
  .cell { grid-column: var(--of-12) }
}
@media (max-width: 52rem) {
  .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  .stacked, .stacked tbody { display: block }
  .stacked tr { display: grid; gap: 0.125rem; padding: 0.5rem 0; border-top: 1px solid var(--line) }
  .stacked td, .stacked tbody th { display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: 0.5rem; padding: 0; border: 0; text-align: left; white-space: normal }
  .held-records tr { grid-template: "record quantity" "dimension hour" "customer customer" "answer answer" / 1fr auto; gap: 0.0625rem 0.75rem }
  .held-records td, .held-records tbody th { display: block; grid-area: customer }
  .held-records tbody > tr > :nth-child(1) { grid-area: record }
  .held-records tbody > tr > :nth-child(2) { grid-area: hour; text-align: right }
  .held-records tbody > tr > :nth-child(4) { grid-area: dimension }
  .held-records tbody > tr > :nth-child(5) { grid-area: quantity; text-align: right; font-weight: 600 }
  .held-records tbody > tr > :nth-child(6) { grid-area: answer; color: var(--soft) }
  .held-records tbody > tr > :nth-child(1)::before { content: "Record " }
  .stacked:not(.held-records) [data-label]::before { content: attr(data-label); color: var(--soft); font-weight: 400 }
}
@media (max-width: 40rem) {
  body { padding: 0 1rem 2.5rem }
  .headline { margin-top: 1.5rem }
  .headline .badge { width: 2rem; height: 2rem; font-size: 1.125rem }
  .headline ul, .headline .commands { grid-column: 1 / -1 }
  section { margin-top: 2rem }
  .day { grid-template-columns: 1fr }
  .day h3 { padding: 0 0 0.1875rem }
  .cells { grid-template-columns: repeat(8, minmax(0, 1fr)) }
  .cell { grid-column: var(--of-8) }
  .cell .count { font-size: 0.6875rem }
  .commands { grid-template-columns: 1fr; gap: 0.125rem }
  .commands dd { margin-bottom: 0.5rem }
  .customer { padding: 0.875rem 0.75rem }
  .card { padding: 0.875rem }
  .figures td, .figures tbody th { padding-right: 0.75rem }
  .counts { font-size: 0.75rem }
  .counts thead th { font-size: 0.6875rem; letter-spacing: -0.02em }
  .counts tr > * { padding-right: 0.25rem }
}
@media (prefers-contrast: more) {
  :root { --soft: var(--ink); --line: var(--ink) }
}
`
