/**
 * The status page's script, for browsers as they are: it fetches `status.json` and shows it. What comes from data goes
 * into the page as text nodes and attributes of its own, never as HTML. It has no backslashes, so that
 * the template string is the script as it stands.
 */
export const SCRIPT = `
'use strict'
const SVG = 'http://www.w3.org/2000/svg'
const $ = id => document.getElementById(id)

/** An element with attributes and children; strings become text. */
function h(tag, properties, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === false) continue
    element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.flat().filter(child => child !== undefined && child !== false && child !== ''))
  return element
}

function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(SVG, 'use')
  use.setAttribute('href', '#icon-' + name)
  svg.append(use)
  return svg
}

const count = number => number.toLocaleString('en-US')
const some = (number, one, more) => count(number) + ' ' + (number === 1 ? one : more)

/** As short as a cell of the hours: 950, 1.2k, 35k. */
function short(number) {
  if (number < 1000) return String(number)
  const thousands = number / 1000
  return (thousands < 10 ? thousands.toFixed(1) : String(Math.round(thousands))) + 'k'
}

const formats = new Map()
function formatted(iso, options) {
  const key = JSON.stringify(options)
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options }))
  return formats.get(key).format(new Date(iso))
}
const clock = iso => formatted(iso, { hour: '2-digit', minute: '2-digit' })
const seconds = iso => formatted(iso, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = iso => formatted(iso, { weekday: 'short', day: 'numeric', month: 'short' })
const dayAndClock = iso => formatted(iso, { day: 'numeric', month: 'short' }) + ' ' + clock(iso)

/** The gateway's clock: a browser's own may be wrong. */
let told = { at: Date.now(), since: performance.now() }
const now = () => told.at + performance.now() - told.since

function distance(iso) {
  const difference = new Date(iso).getTime() - now()
  const past = Math.round(Math.abs(difference) / 1000)
  const minutes = Math.round(past / 60)
  const text =
    past < 60 ? past + ' s'
    : minutes < 120 ? minutes + ' min'
    : minutes < 48 * 60 ? Math.round(minutes / 60) + ' h'
    : Math.round(minutes / 60 / 24) + ' days'
  return difference > 0 ? 'in ' + text : text + ' ago'
}

/** How long ago, or until when; it goes on counting. */
const age = iso => h('time', { datetime: iso, 'data-age': true }, distance(iso))

const when = iso => [dayAndClock(iso) + ' ', h('small', {}, age(iso))]

function tick() {
  for (const element of document.querySelectorAll('time[data-age]')) {
    const text = distance(element.dateTime)
    if (element.textContent !== text) element.textContent = text
  }
}

/** A table whose rows become blocks where it is narrow. Roles are said, since that takes them away. */
function table(name, columns, rows, classes) {
  const cell = (column, row, index) => {
    const first = index === 0
    const content = [column.of(row)].flat()
    const properties = {
      class: [column.number ? 'number' : '', column.class || ''].join(' ').trim() || undefined,
      role: first ? 'rowheader' : 'cell',
      scope: first ? 'row' : undefined,
      'data-label': column.title,
    }
    return h(first ? 'th' : 'td', properties, h('span', {}, content))
  }
  const titles = columns.map(column =>
    h('th', { scope: 'col', role: 'columnheader', class: column.number ? 'number' : undefined }, column.title))
  return h('table', { class: classes, role: 'table', 'aria-label': name },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, titles)),
    h('tbody', { role: 'rowgroup' }, rows.map(row =>
      h('tr', { role: 'row', class: row.rowClass }, columns.map((column, index) => cell(column, row, index))))))
}

const none = text => h('p', { class: 'none' }, text)

/** Builds a part of the page again only when what it shows has changed, so that a selection stays. */
const shown = new Map()
function part(id, data, build) {
  const text = JSON.stringify(data)
  if (shown.get(id) === text) return
  $(id).replaceChildren(...[build(data)].flat().filter(Boolean))
  shown.set(id, text)
}

const LEVELS = { good: 'check', attention: 'warning', trouble: 'cross', empty: 'clock' }

function headline({ level, title, details }) {
  $('headline').className = 'headline ' + level
  return [
    h('span', { class: 'badge' }, icon(LEVELS[level])),
    h('h1', {}, title),
    details.length > 0 && h('ul', {}, details.map(detail => h('li', {}, detail))),
  ]
}

/** How an hour is shown: the style, the icon and the words. */
const HOUR_KINDS = {
  settled: ['check', 'settled'],
  sending: ['up', 'being sent'],
  held: ['hand', 'held'],
  returned: ['on', 'moved on to a later hour'],
  idle: ['idle', 'nothing to bill'],
  closing: ['glass', 'over, to be closed'],
  open: ['clock', 'open'],
  late: ['warning', 'overdue'],
}

function kindOf(hour) {
  if (hour.held > 0) return 'held'
  if (hour.pending > 0) return 'sending'
  if (hour.state !== 'closed') return hour.state
  if (hour.metered > 0) return 'settled'
  return hour.returned > 0 ? 'returned' : 'idle'
}

function hourWords(hour) {
  const kind = kindOf(hour)
  const more = hour.more ? ' or more' : ''
  const parts = [
    hour.state === 'open' && 'open, closes at ' + clock(hour.closesAt),
    hour.state === 'closing' && 'over, closes at ' + clock(hour.closesAt),
    hour.state === 'late' && 'was to be closed at ' + clock(hour.closesAt),
    hour.frozen > 0 && some(hour.frozen, 'record', 'records') + more,
    hour.metered > 0 && count(hour.metered) + ' metered',
    hour.pending > 0 && count(hour.pending) + ' pending',
    hour.held > 0 && count(hour.held) + ' held',
    hour.returned > 0 && count(hour.returned) + ' moved on to a later hour',
    kind === 'idle' && 'nothing to bill',
  ]
  return parts.filter(Boolean).join(', ')
}

function hourCell(hour) {
  const kind = kindOf(hour)
  const number = new Date(hour.hour).getUTCHours()
  const figure =
    kind === 'held' ? short(hour.held)
    : hour.frozen > 0 ? short(hour.frozen) + (hour.more ? '+' : '')
    : kind === 'open' ? 'open'
    : kind === 'closing' || kind === 'late' ? clock(hour.closesAt)
    : ''
  const words = hourWords(hour)
  const cell = h('li', { class: 'cell ' + (kind === 'returned' ? 'idle' : kind), title: clock(hour.hour) + ': ' + words },
    h('span', { class: 'hour', 'aria-hidden': true }, String(number).padStart(2, '0')),
    icon(HOUR_KINDS[kind][0]),
    h('span', { class: 'count', 'aria-hidden': true }, figure),
    h('span', { class: 'hidden' }, clock(hour.hour) + ': ' + words))
  for (const of of [24, 12, 8]) cell.style.setProperty('--of-' + of, number % of + 1)
  return cell
}

function hours(list) {
  const days = Map.groupBy(list, hour => hour.hour.slice(0, 10))
  const kinds = new Set(list.map(kindOf))
  const legend = Object.entries(HOUR_KINDS).filter(([kind]) => kinds.has(kind)).map(([kind, [name, words]]) =>
    h('li', {}, h('span', { class: 'key cell ' + (kind === 'returned' ? 'idle' : kind) }, icon(name)), words))
  const strips = [...days].reverse().map(([date, own]) =>
    h('div', { class: 'day' }, h('h3', { id: 'day-' + date }, day(date)),
      h('ol', { class: 'cells', 'aria-labelledby': 'day-' + date }, own.map(hourCell))))
  return [h('ul', { class: 'legend', 'aria-label': 'Legend' }, legend), ...strips]
}

function hourCounts(list) {
  const figure = name => ({
    title: name[0].toUpperCase() + name.slice(1),
    number: true,
    of: hour => hour[name] === 0 ? '–' : count(hour[name]) + (hour.more && name !== 'pending' && name !== 'held' ? '+' : ''),
  })
  const columns = [
    { title: 'Hour', of: hour => [h('span', { class: 'line' }, dayAndClock(hour.hour)), hour.state !== 'closed' && h('small', {}, ' ' + hour.state)] },
    ...['frozen', 'sent', 'metered', 'pending', 'held', 'returned'].map(figure),
  ]
  const name = 'Records of each hour'
  return h('div', { class: 'wide', role: 'region', tabindex: 0, 'aria-label': name }, table(name, columns, [...list].reverse(), 'counts'))
}

const PARTS = ['metered', 'pending', 'held', 'balance']
const title = name => name[0].toUpperCase() + name.slice(1)

function share(part, whole) {
  const value = Number(part.amount) / Number(whole.amount)
  if (!Number.isFinite(value) || value === 0) return '–'
  if (value >= 1) return '100 %'
  const percent = value * 100
  if (percent < 0.1) return '< 0.1 %'
  // What is not quite all is not shown as all.
  return Math.min(percent, 99.9).toFixed(1) + ' %'
}

function usage(dimension) {
  const { name, unit, recorded, series } = dimension
  const bar = h('div', { class: 'bar', 'aria-hidden': true }, PARTS.map(name => {
    const width = 100 * Number(dimension[name].amount) / Number(recorded.amount)
    if (!(width > 0)) return undefined
    const segment = h('span', { class: 'of-' + name })
    segment.style.flex = width + ' 0 0'
    return segment
  }))
  const swatch = row => row === 'recorded' ? undefined : h('span', { class: 'swatch of-' + row, 'aria-hidden': true })
  const columns = [
    { title: 'Usage', of: row => [swatch(row.of), title(row.of)] },
    { title: 'Quantity', number: true, of: row => dimension[row.of].quantity },
    { title: 'Share', number: true, class: 'share', of: row => row.of === 'recorded' ? '' : share(dimension[row.of], recorded) },
  ]
  const rows = ['recorded', ...PARTS].map(of => ({ of, rowClass: of === 'recorded' ? 'sum' : undefined }))
  const figures = table(name, columns, rows, 'figures')
  figures.tHead.className = 'hidden'
  const broken = dimension.breaches > 0
  const proof = series === 0
    ? 'Nothing recorded yet.'
    : broken ? 'Does not add up for ' + some(dimension.breaches, 'series', 'series') + '.'
    : 'Adds up for ' + (series === 1 ? 'the one account.' : 'each of ' + count(series) + ' accounts.')
  return h('article', { class: 'card' },
    h('h3', {}, name), h('small', {}, 'in units of ' + (/^[0-9]/.test(unit) ? '' : '1 ') + unit), bar, figures,
    h('p', { class: 'proof' + (broken ? ' broken' : '') }, series > 0 && icon(broken ? 'cross' : 'check'), proof))
}

const CUSTOMER = {
  title: 'Customer',
  class: 'anywhere',
  of: row => [row.customer, row.licence && h('small', {}, ' licence ' + row.licence), h('small', {}, ' ' + row.product)],
}

/** 12.5 h, 3 × 1,000 token */
const measured = ({ quantity, unit }) => quantity.quantity + (/^[0-9]/.test(unit) ? ' × ' : ' ') + unit

/** Words are kept whole, so that no line ends in the middle of an option. */
const words = command => command.split(' ').flatMap((word, index) => [index > 0 ? ' ' : '', h('span', { class: 'word' }, word)])

const commandList = commands => h('dl', { class: 'commands' }, commands.flatMap(({ when, command }) =>
  [h('dt', {}, when), h('dd', {}, h('code', {}, words(command)))]))

function held({ groups, total }) {
  if (total === 0) return none('Nothing is held. Records come here when AWS refuses them, when nobody knows whether AWS took them, or when a guard stopped them.')
  return groups.map(group => {
    const columns = [
      { title: 'Record', of: record => record.id },
      { title: 'Hour', class: 'line', of: record => dayAndClock(record.hour) },
      CUSTOMER,
      { title: 'Dimension', class: 'anywhere', of: record => record.dimension },
      { title: 'Quantity', number: true, of: measured },
      { title: 'Last answer', class: 'anywhere', of: record => record.lastAnswer || 'never sent' },
    ]
    const more = group.records - group.shown.length
    return h('article', { class: 'group' },
      h('h3', {}, group.cause, h('small', {}, ' ' + some(group.records, 'record', 'records'))),
      h('p', {}, group.means),
      commandList(group.commands),
      h('p', { class: 'soft' }, 'Released or not billed, ' + group.released[0].toLowerCase() + group.released.slice(1)),
      table('Held: ' + group.cause, columns, group.shown, 'stacked held-records'),
      more > 0 && none(some(more, 'older record is', 'older records are') + ' not shown here; marketplace-meter held lists all.'))
  })
}

function customers(list) {
  if (list.length === 0) return none('No customer waits: every record has its final answer.')
  const columns = [
    CUSTOMER,
    { title: 'Waiting since', class: 'line', of: row => when(row.oldestHour) },
    { title: 'Records', of: row => [row.pending > 0 && count(row.pending) + ' pending', row.held > 0 && count(row.held) + ' held'].filter(Boolean).join(', ') },
    { title: 'Usage', class: 'anywhere', of: row => row.usage.flatMap((entry, index) =>
      [index > 0 && h('br'), measured(entry), h('small', {}, ' of ' + entry.dimension)]) },
    { title: 'AWS takes it until', class: 'line', of: row => row.takenUntil ? when(row.takenUntil) : '–' },
  ]
  return table('Customers with the oldest unsettled usage', columns, list, 'stacked customers')
}

const WHY = {
  'no-customer': 'the data points name no customer',
  'malformed-customer': 'what names the customer is no account id or licence',
  overflow: 'the SDK had too many attribute sets and folded these',
  'resolver-failed': 'the customer could not be looked up',
  'old-counter': 'a new counter that began long before: it may be a known one under another name',
  'too-late': 'deltas so late that nobody can tell whether they were counted',
}

function unattributed({ list, total, commands }) {
  if (list.length === 0) return none('All usage has a customer.')
  const columns = [
    { title: 'Account', class: 'line', of: row => row.account },
    { title: 'Why', of: row => WHY[row.reason] || row.reason },
    { title: 'Dimension', class: 'anywhere', of: row => row.dimension },
    { title: 'Quantity', number: true, of: row => row.quantity.quantity },
    { title: 'What the data points said', class: 'anywhere', of: row => h('code', {}, row.evidence) },
  ]
  return h('div', { class: 'group' },
    h('p', {}, 'Nobody is billed for it until a person says whose it is. Then mend what sends it.'),
    commandList(commands),
    table('Usage without a customer', columns, list, 'stacked'),
    total > list.length && none(some(total - list.length, 'more is', 'more are') + ' not shown here; marketplace-meter statement lists all.'))
}

/** An hour's minutes as bars. */
function spark(minutes) {
  const most = Math.max(1, ...minutes)
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('class', 'spark')
  svg.setAttribute('viewBox', '0 0 240 32')
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('aria-hidden', 'true')
  minutes.forEach((value, index) => {
    const bar = document.createElementNS(SVG, 'rect')
    const height = value === 0 ? 1 : Math.max(2, 32 * value / most)
    for (const [name, number] of Object.entries({ x: index * 4, y: 32 - height, width: 3, height })) bar.setAttribute(name, number)
    svg.append(bar)
  })
  return svg
}

const CHECK_ICONS = { ok: 'check', warning: 'warning', failed: 'cross' }
const NOT_COUNTED = {
  baseline: ['baseline of a counter that began before', 'baselines of counters that began before'],
  'old-counter': ['counter that may be known under another name', 'counters that may be known under other names'],
  'too-late': ['delta that came too late', 'deltas that came too late'],
  conflict: ['contradictory delta', 'contradictory deltas'],
  gap: ['gap of a gauge', 'gaps of gauges'],
}

function gateway({ activity, checks, notCounted }) {
  const { points, records, lastPass } = activity
  const sum = numbers => numbers.reduce((total, number) => total + number, 0)
  const received = activity.lastReceivedAt === null
    ? 'Nothing received since it started.'
    : ['Last ', age(activity.lastReceivedAt), activity.lagSeconds === null ? '' : ', measured ' + activity.lagSeconds.toFixed(1) + ' s before']
  const skipped = Object.entries(notCounted).filter(([, number]) => number > 0)
  return h('div', { class: 'facts' },
    h('article', { class: 'card' }, h('h3', {}, 'Received'),
      h('p', { class: 'big' }, some(sum(points), 'data point', 'data points')), h('p', { class: 'soft' }, 'in the last hour, by the minute'),
      spark(points), h('p', {}, received)),
    h('article', { class: 'card' }, h('h3', {}, 'Metered'),
      h('p', { class: 'big' }, some(sum(records), 'record', 'records')), h('p', { class: 'soft' }, 'in the last hour, by the minute'),
      spark(records),
      h('p', {}, lastPass === null ? 'No metering pass yet.' : ['Last pass ', age(lastPass.endedAt), ', took ' + (lastPass.seconds < 0.1 ? 'less than 0.1' : lastPass.seconds.toFixed(1)) + ' s',
        lastPass.error === null ? '' : '. It failed: ' + lastPass.error])),
    h('article', { class: 'card' }, h('h3', {}, 'Checks'),
      h('ul', { class: 'checks' }, checks.map(({ name, state, message }) =>
        h('li', { class: state }, icon(CHECK_ICONS[state]), h('span', { class: 'anywhere' }, name + ': ' + (message || 'ok')))),
        checks.length === 0 && h('li', {}, 'None are configured.')),
      skipped.length > 0 && h('p', { class: 'soft' }, 'Not simply counted since the ledger began: ' +
        skipped.map(([why, number]) => some(number, ...(NOT_COUNTED[why] || [why, why]))).join(', ') + '. marketplace-meter audit has more.'),
      h('p', { class: 'soft' }, 'Running since ', dayAndClock(activity.startedAt), ', ', age(activity.startedAt))))
}

const TITLES = { good: 'OK', attention: '!', trouble: '!!', empty: '–' }

function render(data) {
  part('headline', data.headline, headline)
  part('hours', data.hours, hours)
  part('hour-counts', data.hours, hourCounts)
  part('usage', data.totals.dimensions, list => list.length > 0 ? list.map(usage) : none('No dimensions are configured, and none have usage.'))
  part('held', { groups: data.held, total: data.heldRecords }, held)
  part('customers', data.customers, customers)
  part('unattributed', { list: data.unattributed, total: data.unattributedCount, commands: data.unattributedCommands }, unattributed)
  part('gateway', { activity: data.activity, checks: data.checks, notCounted: data.notCounted }, gateway)
  $('held-count').textContent = data.heldRecords > 0 ? some(data.heldRecords, 'record', 'records') : ''
  const old = new Date(data.at) - new Date(data.totals.at) > 15000
  $('totals-at').textContent = old ? 'as of ' + seconds(data.totals.at) : ''
  document.title = TITLES[data.headline.level] + ' marketplace-meter'
  $('content').hidden = false
}

/** What is shown is not from now: why, and from when it is. */
function stale(why) {
  const then = lastAt === undefined ? '' : ' What is shown here is from ' + seconds(lastAt) + ' UTC.'
  if ($('notice').textContent !== why + then) $('notice').textContent = why + then
  $('notice').hidden = false
  $('freshness').textContent = lastAt === undefined ? 'No data' : 'Stale, from ' + seconds(lastAt)
  document.title = '? marketplace-meter'
}

// Without the credentials that an address may hold: fetch refuses those, and sends what the page came with anyway.
const address = new URL('status.json', location.origin + location.pathname)
let refresh = 5000
let lastAt
let timer

async function ask() {
  clearTimeout(timer)
  try {
    const response = await fetch(address, { cache: 'no-store', signal: AbortSignal.timeout(20000) })
    const data = await response.json().catch(() => ({}))
    if (response.ok) show(data)
    else if (response.status === 401 || response.status === 403) stale('The gateway wants its token again: reload this page.')
    else stale(data.error || 'The gateway answers ' + response.status + '.')
  } catch {
    stale('The gateway does not answer.')
  }
  clearTimeout(timer)
  if (!document.hidden) timer = setTimeout(ask, refresh)
}

function show(data) {
  told = { at: new Date(data.at).getTime(), since: performance.now() }
  try {
    render(data)
  } catch {
    // A newer gateway than this page, or a proxy's own answer.
    stale('The gateway answers what this page does not understand: reload it.')
    return
  }
  refresh = data.refreshSeconds * 1000
  lastAt = data.at
  $('notice').hidden = true
  $('freshness').textContent = seconds(data.at) + ' UTC, again every ' + data.refreshSeconds + ' s'
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(timer)
  if (!document.hidden) ask()
})
setInterval(tick, 1000)
ask()
`
