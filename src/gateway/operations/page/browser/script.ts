import type { HourReport } from '../../hours.ts'
import type { StatusReport } from '../../report.ts'
import type { SplitReport } from '../../splits.ts'
import type { CustomerName, HeldReport, UnsettledCustomer } from '../../unsettled.ts'
import type { findCustomer } from './customer.ts'

/**
 * The status page's script, for browsers as they are: it fetches `status.json` and shows it. What comes from data goes
 * into the page as text nodes and attributes of its own, never as HTML.
 *
 * The page has the text of this function, so that nothing outside of it may be named in it but types.
 *
 * @param find the part that finds a customer
 */
export function showStatus(find: typeof findCustomer): void {
  const SVG = 'http://www.w3.org/2000/svg'

  type Child = Node | string | false | undefined
  type Properties = Readonly<Record<string, string | number | boolean | undefined>>

  const byId = (id: string) => document.getElementById(id) as HTMLElement

  /** An element with attributes and children; strings become text. */
  function h<Tag extends keyof HTMLElementTagNameMap>(
    tag: Tag,
    properties: Properties,
    ...children: readonly (Child | readonly Child[])[]
  ): HTMLElementTagNameMap[Tag] {
    const element = document.createElement(tag)
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined || value === false) continue
      element.setAttribute(name, value === true ? '' : String(value))
    }
    element.append(...given(children.flat() as Child[]))
    return element
  }

  function given(children: readonly Child[]): (Node | string)[] {
    return children.filter(child => child !== undefined && child !== false && child !== '') as (Node | string)[]
  }

  function icon(name: string): SVGElement {
    const svg = document.createElementNS(SVG, 'svg')
    svg.setAttribute('class', 'icon')
    svg.setAttribute('aria-hidden', 'true')
    const use = document.createElementNS(SVG, 'use')
    use.setAttribute('href', `#icon-${name}`)
    svg.append(use)
    return svg
  }

  const grouped = (number: number) => number.toLocaleString('en-US')
  const counted = (number: number, one: string, more: string) => `${grouped(number)} ${number === 1 ? one : more}`

  /** As short as a cell of the hours: 950, 1k, 1.2k, 35k. */
  function short(number: number): string {
    if (number < 1000) return String(number)
    const thousands = number / 1000
    return `${thousands < 10 ? Math.round(thousands * 10) / 10 : Math.round(thousands)}k`
  }

  const formats = new Map<string, Intl.DateTimeFormat>()
  function formatted(iso: string, options: Intl.DateTimeFormatOptions): string {
    const key = JSON.stringify(options)
    const format = formats.get(key) ?? new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options })
    formats.set(key, format)
    return format.format(new Date(iso))
  }
  const clock = (iso: string) => formatted(iso, { hour: '2-digit', minute: '2-digit' })
  const seconds = (iso: string) => formatted(iso, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
  const day = (iso: string) => formatted(iso, { weekday: 'short', day: 'numeric', month: 'short' })
  const dayAndClock = (iso: string) => `${formatted(iso, { day: 'numeric', month: 'short' })} ${clock(iso)}`

  /** The gateway's clock: a browser's own may be wrong. */
  let told = { at: Date.now(), since: performance.now() }
  const now = () => told.at + performance.now() - told.since

  function distance(iso: string): string {
    const difference = new Date(iso).getTime() - now()
    const past = Math.round(Math.abs(difference) / 1000)
    const text = spanText(past)
    return difference > 0 ? `in ${text}` : `${text} ago`
  }

  function spanText(seconds: number): string {
    const minutes = Math.round(seconds / 60)
    if (seconds < 60) return `${seconds} s`
    if (minutes < 120) return `${minutes} min`
    return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 60 / 24)} days`
  }

  /** How long ago, or until when; it goes on counting. */
  const age = (iso: string) => h('time', { datetime: iso, 'data-age': true }, distance(iso))

  const when = (iso: string): Child[] => [`${dayAndClock(iso)} `, h('small', {}, age(iso))]

  function tick(): void {
    for (const element of document.querySelectorAll<HTMLTimeElement>('time[data-age]')) {
      const text = distance(element.dateTime)
      if (element.textContent !== text) element.textContent = text
    }
  }

  interface Column<Row> {
    readonly title: string
    readonly of: (row: Row) => Child | readonly Child[]
    readonly number?: boolean
    readonly class?: string
  }

  /** A table whose rows become blocks where it is narrow. Roles are said, since that takes them away. */
  function table<Row>(
    name: string,
    columns: readonly Column<Row>[],
    rows: readonly Row[],
    classes: string,
    rowClass: (row: Row) => string | undefined = () => undefined,
  ): HTMLTableElement {
    const cell = (column: Column<Row>, row: Row, index: number) => {
      const first = index === 0
      const properties = {
        class: [column.number ? 'number' : '', column.class ?? ''].join(' ').trim() || undefined,
        role: first ? 'rowheader' : 'cell',
        scope: first ? 'row' : undefined,
        'data-label': column.title,
      }
      return h(first ? 'th' : 'td', properties, h('span', {}, column.of(row)))
    }
    const titles = columns.map(({ title, number }) =>
      h('th', { scope: 'col', role: 'columnheader', class: number ? 'number' : undefined }, title),
    )
    const body = rows.map(row =>
      h(
        'tr',
        { role: 'row', class: rowClass(row) },
        columns.map((column, index) => cell(column, row, index)),
      ),
    )
    return h(
      'table',
      { class: classes, role: 'table', 'aria-label': name },
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, titles)),
      h('tbody', { role: 'rowgroup' }, body),
    )
  }

  const none = (text: string) => h('p', { class: 'none' }, text)

  /** Builds a section again only when what it shows has changed, so that a selection stays. */
  const shown = new Map<string, string>()
  function section<Data>(id: string, data: Data, build: (data: Data) => Child | readonly Child[]): void {
    const text = JSON.stringify(data)
    if (shown.get(id) === text) return
    byId(id).replaceChildren(...given([build(data)].flat() as Child[]))
    shown.set(id, text)
  }

  const LEVELS = { good: 'check', attention: 'warning', trouble: 'cross', empty: 'clock' }

  function headline({ level, title, details, commands }: StatusReport['headline']): Child[] {
    byId('headline').className = `headline ${level}`
    const list = details.map(detail => h('li', {}, detail))
    return [
      h('span', { class: 'badge' }, icon(LEVELS[level])),
      h('h1', {}, title),
      list.length > 0 && h('ul', {}, list),
      commands.length > 0 && commandList(commands),
    ]
  }

  /** How an hour is shown: the icon and the words, by its style. */
  const HOUR_KINDS = {
    settled: ['check', 'settled'],
    sending: ['up', 'being sent'],
    held: ['hand', 'held'],
    returned: ['on', 'moved on to a later hour'],
    idle: ['idle', 'nothing to bill'],
    closing: ['glass', 'over, to be closed'],
    open: ['clock', 'open'],
    late: ['warning', 'overdue'],
  } as const
  type HourKind = keyof typeof HOUR_KINDS

  function kindOf(hour: HourReport): HourKind {
    if (hour.held > 0) return 'held'
    if (hour.pending > 0) return 'sending'
    if (hour.state !== 'closed') return hour.state
    if (hour.metered > 0) return 'settled'
    return hour.returned > 0 ? 'returned' : 'idle'
  }

  const hourStyle = (kind: HourKind) => (kind === 'returned' ? 'idle' : kind)

  function hourText(hour: HourReport): string {
    const count = (number: number, more: boolean) => grouped(number) + (more ? ' or more' : '')
    const facts = [
      hour.state === 'open' && `open, closes at ${clock(hour.closesAt)}`,
      hour.state === 'closing' && `over, closes at ${clock(hour.closesAt)}`,
      hour.state === 'late' && `was to be closed at ${clock(hour.closesAt)}`,
      hour.frozen > 0 && counted(hour.frozen, 'record', 'records') + (hour.more ? ' or more' : ''),
      hour.metered > 0 && `${count(hour.metered, hour.more)} metered`,
      hour.pending > 0 && `${count(hour.pending, hour.morePending)} pending`,
      hour.held > 0 && `${count(hour.held, hour.moreHeld)} held`,
      hour.returned > 0 && `${count(hour.returned, hour.more)} moved on to a later hour`,
      kindOf(hour) === 'idle' && 'nothing to bill',
    ]
    return `${clock(hour.hour)}: ${facts.filter(Boolean).join(', ')}`
  }

  /** How many records are what the colour means. */
  function hourFigure(hour: HourReport): string {
    const { held, moreHeld, pending, morePending, metered, returned, more } = hour
    const figure = (count: number, more: boolean) => short(count) + (more ? '+' : '')
    switch (kindOf(hour)) {
      case 'held':
        return figure(held, moreHeld)
      case 'sending':
        return figure(pending, morePending)
      case 'settled':
        return figure(metered, more)
      case 'returned':
        return figure(returned, more)
      case 'open':
        return 'open'
      case 'idle':
        return ''
      default:
        return clock(hour.closesAt)
    }
  }

  function hourCell(hour: HourReport): HTMLElement {
    const kind = kindOf(hour)
    const number = new Date(hour.hour).getUTCHours()
    const text = hourText(hour)
    const cell = h(
      'li',
      { class: `cell ${hourStyle(kind)}`, title: text },
      h('span', { class: 'hour', 'aria-hidden': true }, String(number).padStart(2, '0')),
      icon(HOUR_KINDS[kind][0]),
      h('span', { class: 'count', 'aria-hidden': true }, hourFigure(hour)),
      h('span', { class: 'hidden' }, text),
    )
    for (const across of [24, 12, 8]) cell.style.setProperty(`--of-${across}`, String((number % across) + 1))
    return cell
  }

  function hours(list: readonly HourReport[]): Child[] {
    const days = Map.groupBy(list, ({ hour }) => hour.slice(0, 10))
    const kinds = new Set(list.map(kindOf))
    const legend = (Object.keys(HOUR_KINDS) as HourKind[])
      .filter(kind => kinds.has(kind))
      .map(kind => {
        const [name, words] = HOUR_KINDS[kind]
        return h('li', {}, h('span', { class: `key cell ${hourStyle(kind)}` }, icon(name)), words)
      })
    const strips = [...days].reverse().map(([date, own]) => {
      const cells = h('ol', { class: 'cells', 'aria-labelledby': `day-${date}` }, own.map(hourCell))
      return h('div', { class: 'day' }, h('h3', { id: `day-${date}` }, day(date)), cells)
    })
    return [h('ul', { class: 'legend', 'aria-label': 'Legend' }, legend), ...strips]
  }

  const capitalized = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1)

  function hourCounts(list: readonly HourReport[]): Child {
    const column = (name: 'frozen' | 'sent' | 'metered' | 'pending' | 'held' | 'returned'): Column<HourReport> => ({
      title: capitalized(name),
      number: true,
      of: hour => {
        // Pending and held ones are known beyond those that were counted.
        const more = name === 'pending' ? hour.morePending : name === 'held' ? hour.moreHeld : hour.more
        return hour[name] === 0 ? '–' : grouped(hour[name]) + (more ? '+' : '')
      },
    })
    const start = (hour: HourReport): Child[] => [
      h('span', { class: 'line' }, dayAndClock(hour.hour)),
      hour.state !== 'closed' && h('small', {}, ` ${hour.state}`),
    ]
    const figures = (['frozen', 'sent', 'metered', 'pending', 'held', 'returned'] as const).map(column)
    const name = 'Records of each hour'
    const counts = table(name, [{ title: 'Hour', of: start }, ...figures], [...list].reverse(), 'counts')
    return h('div', { class: 'wide', role: 'region', tabindex: 0, 'aria-label': name }, counts)
  }

  type DimensionReport = StatusReport['totals']['dimensions'][number]
  /** What is recorded is made of these. */
  const ADDENDS = ['included', 'metered', 'pending', 'held', 'balance'] as const

  function share(amount: string, whole: string): string {
    const value = Number(amount) / Number(whole)
    if (!Number.isFinite(value) || value === 0) return '–'
    if (value >= 1) return '100 %'
    const percent = value * 100
    if (percent < 0.1) return '< 0.1 %'
    // What is not quite all is not shown as all.
    return `${Math.min(percent, 99.9).toFixed(1)} %`
  }

  /** Units that begin with a number are a size: 3 × 1,000 tokens. */
  const inUnits = (units: string) => (/^~?[0-9]/.test(units) ? `in units of ${units}` : `in ${units}`)

  function usage(dimension: DimensionReport, splits: readonly SplitReport[], heading: 'h3' | 'h4' = 'h3'): HTMLElement {
    const { name, units, recorded, included, series } = dimension
    // Most products have no contracts.
    const addends = ADDENDS.filter(figure => figure !== 'included' || Number(included.amount) !== 0)
    const segments = addends.map(figure => {
      const width = (100 * Number(dimension[figure].amount)) / Number(recorded.amount)
      if (!(width > 0)) return undefined
      const segment = h('span', { class: `of-${figure}` })
      segment.style.flex = `${width} 0 0`
      return segment
    })
    type Figure = 'recorded' | (typeof ADDENDS)[number]
    const swatch = (figure: Figure) =>
      figure !== 'recorded' && h('span', { class: `swatch of-${figure}`, 'aria-hidden': true })
    const columns: Column<Figure>[] = [
      { title: 'Usage', class: 'line', of: figure => [swatch(figure), capitalized(figure)] },
      { title: 'Quantity', number: true, of: figure => dimension[figure].quantity },
      {
        title: 'Share',
        number: true,
        class: 'share',
        of: figure => (figure === 'recorded' ? '' : share(dimension[figure].amount, recorded.amount)),
      },
    ]
    const figures = table(name, columns, ['recorded', ...addends], 'figures', figure =>
      figure === 'recorded' ? 'sum' : undefined,
    )
    figures.tHead?.setAttribute('class', 'hidden')
    const broken = dimension.breaches > 0
    return h(
      'article',
      { class: 'card' },
      h(heading, {}, name),
      h('small', {}, inUnits(units)),
      h('div', { class: 'bar', 'aria-hidden': true }, segments),
      figures,
      h(
        'p',
        { class: broken ? 'proof broken' : 'proof' },
        series > 0 && icon(broken ? 'cross' : 'check'),
        proofText(dimension),
      ),
      splits.filter(one => one.dimension === name).map(split),
    )
  }

  /** What of the last two days' records is for which values of a tag. */
  function split({ dimension, tag, all, values, rest }: SplitReport): HTMLElement {
    const name = `${dimension} by ${tag}, last 48 hours`
    const rows = [...values, { value: undefined, ...rest }].filter(({ amount }) => Number(amount) !== 0)
    const columns: Column<(typeof rows)[number]>[] = [
      { title: 'Value', class: 'anywhere', of: ({ value }) => value ?? h('small', {}, 'others, or none') },
      { title: 'Quantity', number: true, of: ({ quantity }) => quantity },
      { title: 'Share', number: true, class: 'share', of: ({ amount }) => share(amount, all.amount) },
    ]
    const figures = table(name, columns, rows, 'figures')
    figures.tHead?.setAttribute('class', 'hidden')
    return h('div', { class: 'split' }, h('h4', {}, `By ${tag}`, h('small', {}, ' last 48 hours')), figures)
  }

  function proofText({ series, breaches }: DimensionReport): string {
    if (series === 0) return 'Nothing recorded yet.'
    if (breaches > 0) return `Does not add up for ${counted(breaches, 'series', 'series')}.`
    return `Adds up for ${series === 1 ? 'the one account.' : `each of ${grouped(series)} accounts.`}`
  }

  function waiting(list: StatusReport['waiting']): Child {
    if (list.length === 0) return undefined
    const each = list.map(({ text }) => text)
    return none(
      `Waiting: ${each.join(', ')}. The next points of the senders tell whether it is usage, or an hour does.`,
    )
  }

  /** What finds it on this page. */
  const findLink = ({ key, customer }: CustomerName) =>
    h('a', { href: `#customer=${encodeURIComponent(key)}` }, customer)

  const CUSTOMER: Column<CustomerName> = {
    title: 'Customer',
    class: 'anywhere',
    of: ({ licence, product, ...name }) => [
      findLink({ product, ...name }),
      licence !== undefined && h('small', {}, ` licence ${licence}`),
      h('small', {}, ` ${product}`),
    ],
  }

  /** Words are kept whole, so that no line ends in the middle of an option. */
  const wholeWords = (command: string) =>
    command.split(' ').flatMap((word, index) => [index > 0 && ' ', h('span', { class: 'word' }, word)])

  const commandList = (commands: StatusReport['unattributedCommands']) =>
    h(
      'dl',
      { class: 'commands' },
      commands.flatMap(({ when, command }) => {
        const code = h('code', {}, wholeWords(command))
        return [h('dt', {}, when), h('dd', {}, code, copyButton(command, code))]
      }),
    )

  const listAll = (when: string, command: string) => commandList([{ when, command }])

  function copyButton(command: string, code: HTMLElement): HTMLElement {
    const label = h('span', {}, 'Copy')
    const button = h('button', { type: 'button', class: 'copy' }, label, h('span', { class: 'hidden' }, ` ${command}`))
    button.addEventListener('click', async () => {
      const copied = await isCopied(command)
      if (!copied) window.getSelection()?.selectAllChildren(code)
      label.textContent = copied ? 'Copied' : 'Selected'
      byId('said').textContent = copied ? 'Copied.' : 'The command is selected: copy it as you copy other text.'
      window.setTimeout(() => {
        label.textContent = 'Copy'
        byId('said').textContent = ''
      }, 4000)
    })
    return button
  }

  /** Without the permission, or where the page came by http from elsewhere, nothing may be copied for somebody. */
  async function isCopied(text: string): Promise<boolean> {
    try {
      await navigator.clipboard.writeText(text)
      return true
    } catch {
      return false
    }
  }

  const HELD_COLUMNS: readonly Column<HeldReport['shown'][number]>[] = [
    { title: 'Record', of: record => record.id },
    { title: 'Hour', class: 'line', of: record => dayAndClock(record.hour) },
    CUSTOMER,
    { title: 'Dimension', class: 'anywhere', of: record => record.dimension },
    { title: 'Quantity', number: true, of: ({ quantity }) => quantity.words },
    { title: 'Last answer', class: 'anywhere', of: record => record.lastAnswer ?? 'never sent' },
  ]

  function held({
    groups,
    total,
    lists,
  }: Pick<StatusReport, 'lists'> & { readonly groups: readonly HeldReport[]; readonly total: number }): Child[] {
    if (total === 0) {
      return [
        none(
          'Nothing is held. Records come here when AWS refuses them, when nobody knows whether AWS took them, or when ' +
            'a guard stopped them.',
        ),
      ]
    }
    return groups.map(group => {
      const more = group.records - group.shown.length
      return h(
        'article',
        { class: 'group' },
        h('h3', {}, group.cause, h('small', {}, ` ${counted(group.records, 'record', 'records')}`)),
        h('p', {}, group.means),
        commandList(group.commands),
        h(
          'p',
          { class: 'soft' },
          `Released or not billed, ${group.released.slice(0, 1).toLowerCase()}${group.released.slice(1)}`,
        ),
        table(`Held: ${group.cause}`, HELD_COLUMNS, group.shown, 'stacked held-records'),
        more > 0 && listAll(`${counted(more, 'older record is', 'older records are')} not shown here:`, lists.held),
      )
    })
  }

  const CUSTOMER_COLUMNS: readonly Column<UnsettledCustomer>[] = [
    CUSTOMER,
    { title: 'Agreement', class: 'anywhere', of: ({ agreement = '–' }) => agreement },
    { title: 'Waiting since', class: 'line', of: ({ oldestHour }) => when(oldestHour) },
    {
      title: 'Records',
      of: ({ pending, held }) =>
        [pending > 0 && `${grouped(pending)} pending`, held > 0 && `${grouped(held)} held`].filter(Boolean).join(', '),
    },
    {
      title: 'Usage',
      class: 'anywhere',
      of: ({ usage }) => usage.flatMap(({ text }, index) => [index > 0 && h('br', {}), text]),
    },
    {
      title: 'AWS takes it until',
      class: 'line',
      of: ({ takenUntil, atStake }) =>
        takenUntil === undefined || atStake === undefined
          ? '–'
          : [...when(takenUntil), h('small', { class: 'stake' }, `at stake: ${atStake.text}`)],
    },
  ]

  function deadline(next: StatusReport['oldestPending']): Child {
    if (next === null) return undefined
    const { hour, takenUntil, atStake } = next
    const over = new Date(takenUntil).getTime() <= now()
    return h(
      'p',
      {},
      `${over ? 'The last deadline was' : 'The next deadline is'} ${dayAndClock(takenUntil)}, `,
      age(takenUntil),
      `: AWS ${over ? 'took' : 'takes'} usage of the hour ${dayAndClock(hour)} until then. At stake: ${atStake.text}.`,
    )
  }

  function customers(list: StatusReport['customers']): Child {
    if (list.length === 0) return none('No customer waits: every record has its final answer.')
    return table('Customers with the oldest unsettled usage', CUSTOMER_COLUMNS, list, 'stacked customers')
  }

  function agreements({ active, registered, ended, refused }: StatusReport['agreements']): Child {
    if (active + registered + ended === 0)
      return none('No agreement is known: neither by events of AWS nor by registration.')
    const parts = [
      `${grouped(active)} active`,
      registered > 0 && `${grouped(registered)} registered`,
      `${grouped(ended)} ended`,
      refused > 0 && `${grouped(refused)} not taken by AWS`,
    ]
    return h('p', {}, `Agreements that are known: ${parts.filter(Boolean).join(', ')}.`)
  }

  /** Whether AWS has what the ledger has: up to when somebody has looked. */
  function reconciled(regions: StatusReport['reconciled']): Child[] {
    return regions.map(({ region, until, open, command }) => {
      const found = Object.values(open).reduce<number>((sum, count = 0) => sum + count, 0)
      const left = found > 0 && `, ${counted(found, 'finding', 'findings')} left open`
      const told = until === null ? 'not reconciled with AWS yet' : `reconciled with AWS up to ${dayAndClock(until)}`
      const when = `${region}: ${told}${left || ''}`
      return command === null ? h('p', {}, `${when}.`) : commandList([{ when: `${when}:`, command }])
    })
  }

  type Unattributed = StatusReport['unattributed'][number]
  const UNATTRIBUTED_COLUMNS: readonly Column<Unattributed>[] = [
    { title: 'Account', class: 'line', of: row => row.account },
    { title: 'Why', class: 'anywhere', of: row => row.means },
    { title: 'Dimension', class: 'anywhere', of: row => row.dimension },
    { title: 'Quantity', number: true, of: row => row.quantity.words },
    { title: 'What the data points said', class: 'anywhere', of: row => h('code', {}, row.evidence) },
  ]

  function unattributed(report: {
    readonly list: StatusReport['unattributed']
    readonly total: number
    readonly commands: StatusReport['unattributedCommands']
    readonly lists: StatusReport['lists']
  }): Child {
    const { list, total, commands, lists } = report
    if (list.length === 0) return none('All usage has a customer.')
    return h(
      'div',
      { class: 'group' },
      h('p', {}, 'Nobody is billed for it until a person says whose it is. Mend what sends it, or more will come.'),
      commandList(commands),
      table('Usage without a customer', UNATTRIBUTED_COLUMNS, list, 'stacked'),
      total > list.length &&
        listAll(`${counted(total - list.length, 'more is', 'more are')} not shown here:`, lists.statement),
    )
  }

  type Supply = StatusReport['supply']
  const lastTime = ({ lastAt }: { readonly lastAt: string | null }): Child | Child[] =>
    lastAt === null ? 'never' : when(lastAt)
  const points = (row: { readonly points: number }) => grouped(row.points)

  const SOURCE_COLUMNS: readonly Column<Supply['sources'][number]>[] = [
    { title: 'Dimension', class: 'anywhere', of: row => row.dimension },
    { title: 'Rule', class: 'anywhere', of: row => row.rule },
    {
      title: 'Metric',
      class: 'anywhere',
      of: ({ metrics: [name, ...others] }) => [
        name,
        others.length > 0 && h('small', {}, ` or ${counted(others.length, 'other name', 'other names')}`),
      ],
    },
    { title: 'Data points', number: true, of: points },
    { title: 'Last', class: 'line', of: lastTime },
  ]
  const SENDER_COLUMNS: readonly Column<Supply['senders'][number]>[] = [
    { title: 'Sender', class: 'anywhere', of: row => row.name },
    { title: 'Data points', number: true, of: points },
    { title: 'Customers today', number: true, of: row => grouped(row.customers) },
    { title: 'Series today', number: true, of: row => grouped(row.series) },
    { title: 'Last', class: 'line', of: lastTime },
  ]
  const REFUSED_COLUMNS: readonly Column<Supply['refused'][number]>[] = [
    { title: 'Refused of', class: 'anywhere', of: row => row.sender ?? 'unknown' },
    { title: 'Over', of: row => row.transport },
    { title: 'Code', class: 'anywhere', of: row => row.code },
    { title: 'Requests', number: true, of: row => grouped(row.requests) },
    { title: 'Last', class: 'line', of: lastTime },
    { title: 'The last was told', class: 'anywhere', of: row => row.message },
  ]
  const UNBILLABLE_COLUMNS: readonly Column<Supply['unbillable'][number]>[] = [
    { title: 'Cannot be billed', class: 'anywhere', of: row => row.metric },
    { title: 'Data points', number: true, of: points },
    { title: 'Last', class: 'line', of: lastTime },
    { title: 'Why', class: 'anywhere', of: row => row.message },
  ]

  function rows<Row>(name: string, columns: readonly Column<Row>[]): (list: readonly Row[]) => Child {
    return list => list.length > 0 && table(name, columns, list, 'stacked')
  }

  function notTaken({ unmatched, unnamed }: Pick<Supply, 'unmatched' | 'unnamed'>): Child[] {
    const each = unmatched.map(row => `${counted(row.points, 'data point', 'data points')} of ${row.metric}`)
    return [
      each.length > 0 && none(`With attributes that no rule takes: ${each.join(', ')}.`),
      unnamed.length > 0 &&
        h(
          'details',
          {},
          h('summary', {}, `${counted(unnamed.length, 'metric', 'metrics')} that no rule names`),
          none(unnamed.join(', ')),
        ),
    ]
  }

  /** An hour's minutes as bars. */
  function spark(minutes: readonly number[]): SVGElement {
    const most = Math.max(1, ...minutes)
    const svg = document.createElementNS(SVG, 'svg')
    svg.setAttribute('class', 'spark')
    svg.setAttribute('viewBox', '0 0 240 32')
    svg.setAttribute('preserveAspectRatio', 'none')
    svg.setAttribute('aria-hidden', 'true')
    for (const [index, value] of minutes.entries()) {
      const bar = document.createElementNS(SVG, 'rect')
      const height = value === 0 ? 1 : Math.max(2, (32 * value) / most)
      for (const [name, number] of Object.entries({ x: index * 4, y: 32 - height, width: 3, height })) {
        bar.setAttribute(name, String(number))
      }
      svg.append(bar)
    }
    return svg
  }

  const CHECK_ICONS = { ok: 'check', warning: 'warning', failed: 'cross' }
  const NOT_COUNTED: Readonly<Record<keyof StatusReport['notCounted'], readonly [one: string, more: string]>> = {
    baseline: ['baseline of a counter that began before', 'baselines of counters that began before'],
    'old-counter': ['counter that may be known under another name', 'counters that may be known under other names'],
    'too-late': ['delta that came too late', 'deltas that came too late'],
    conflict: ['contradictory delta', 'contradictory deltas'],
    gap: ['gap of a gauge', 'gaps of gauges'],
    'shared-identity': ['finding of several processes under one name', 'findings of several processes under one name'],
    'sent-twice': ['counter that comes twice', 'counters that come twice'],
    'moving-start': ['start that moves with each export', 'starts that move with each export'],
    'clock-ahead': ['point from a time that has not come', 'points from a time that has not come'],
    'out-of-range': ['gauge that came to more than can be measured', 'gauges that came to more than can be measured'],
  }

  type GatewayReport = Pick<StatusReport, 'activity' | 'checks' | 'notCounted' | 'lists'>
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)

  function gateway({ activity, checks, notCounted, lists }: GatewayReport): Child {
    return h(
      'div',
      { class: 'facts' },
      h(
        'article',
        { class: 'card' },
        h('h3', {}, 'Received'),
        h('p', { class: 'big' }, counted(sum(activity.points), 'data point', 'data points')),
        h('p', { class: 'soft' }, 'in the last hour, by the minute'),
        spark(activity.points),
        h('p', {}, lastReceived(activity)),
      ),
      h(
        'article',
        { class: 'card' },
        h('h3', {}, 'Metered'),
        h('p', { class: 'big' }, counted(sum(activity.records), 'record', 'records')),
        h('p', { class: 'soft' }, 'in the last hour, by the minute'),
        spark(activity.records),
        h('p', {}, lastPass(activity)),
      ),
      h(
        'article',
        { class: 'card' },
        h('h3', {}, 'Checks'),
        h(
          'ul',
          { class: 'checks' },
          checks.map(({ name, state, message }) =>
            h(
              'li',
              { class: state },
              icon(CHECK_ICONS[state]),
              h('span', { class: 'anywhere' }, `${name}: ${message ?? 'ok'}`),
            ),
          ),
          checks.length === 0 && h('li', {}, 'None are configured.'),
        ),
        ...notCountedNote(notCounted, lists.audit),
        h('p', { class: 'soft' }, 'Running since ', dayAndClock(activity.startedAt), ', ', age(activity.startedAt)),
      ),
    )
  }

  function lastReceived({ lastReceivedAt, lagSeconds }: StatusReport['activity']): Child[] {
    if (lastReceivedAt === null) return ['Nothing received since it started.']
    return ['Last ', age(lastReceivedAt), lagSeconds !== null && `, measured ${lagSeconds.toFixed(1)} s before`]
  }

  function lastPass({ lastPass }: StatusReport['activity']): Child[] {
    if (lastPass === null) return ['No metering pass yet.']
    const { endedAt, seconds, error } = lastPass
    const took = seconds < 0.1 ? 'less than 0.1' : seconds.toFixed(1)
    return ['Last pass ', age(endedAt), `, took ${took} s`, error !== null && `. It failed: ${error}`]
  }

  function notCountedNote(notCounted: StatusReport['notCounted'], audit: string): Child[] {
    const some = (Object.keys(notCounted) as (keyof typeof notCounted)[]).filter(why => (notCounted[why] ?? 0) > 0)
    if (some.length === 0) return []
    const each = some.map(why => counted(notCounted[why] ?? 0, ...(NOT_COUNTED[why] ?? ([why, why] as const))))
    return [
      h('p', { class: 'soft' }, `Not simply counted since the ledger began: ${each.join(', ')}.`),
      listAll('Where and why:', audit),
    ]
  }

  const TITLES = { good: 'OK', attention: '!', trouble: '!!', empty: '–' }

  function render(report: StatusReport): void {
    const { activity, checks, notCounted, totals, heldRecords, lists } = report
    section('headline', report.headline, headline)
    section('hours', report.hours, hours)
    section('hour-counts', report.hours, hourCounts)
    section('usage', { list: totals.dimensions, splits: report.splits }, ({ list, splits }) =>
      list.length > 0
        ? list.map(one => usage(one, splits))
        : none('No dimensions are configured, and none have usage.'),
    )
    section('waiting', report.waiting, waiting)
    section('reconciled', report.reconciled, reconciled)
    section('held', { groups: report.held, total: heldRecords, lists }, held)
    section('deadline', report.oldestPending, deadline)
    section('customers', report.customers, customers)
    section('agreements', report.agreements, agreements)
    const { unattributed: list, unattributedCount: total, unattributedCommands: commands } = report
    section('unattributed', { list, total, commands, lists }, unattributed)
    const { sources, senders, refused, unbillable, unmatched, unnamed } = report.supply
    section('sources', sources, rows('What each rule takes', SOURCE_COLUMNS))
    section('senders', senders, rows('Who sends', SENDER_COLUMNS))
    section('refused', refused, rows('Refused requests', REFUSED_COLUMNS))
    section('unbillable', unbillable, rows('Data points that cannot be billed', UNBILLABLE_COLUMNS))
    section('not-taken', { unmatched, unnamed }, notTaken)
    section('gateway', { activity, checks, notCounted, lists }, gateway)
    byId('held-count').textContent = heldRecords > 0 ? counted(heldRecords, 'record', 'records') : ''
    const old = new Date(report.at).getTime() - new Date(totals.at).getTime() > 15000
    byId('totals-at').textContent = old ? `as of ${seconds(totals.at)}` : ''
    document.title = `${report.headline.atRisk ? 'AT RISK' : TITLES[report.headline.level]} marketplace-meter`
    byId('content').hidden = false
  }

  /** What is shown is not from now: why, and from when it is. */
  function stale(why: string): void {
    const then = lastAt === undefined ? '' : ` What is shown here is from ${seconds(lastAt)} UTC.`
    if (byId('notice').textContent !== why + then) byId('notice').textContent = why + then
    byId('notice').hidden = false
    byId('freshness').textContent = lastAt === undefined ? 'No data' : `Stale, from ${seconds(lastAt)}`
    document.title = '? marketplace-meter'
  }

  // Without the credentials that an address may hold: fetch refuses those, and sends what the page came with anyway.
  const address = new URL('status.json', location.origin + location.pathname)
  let refresh = 5000
  let lastAt: string | undefined
  let timer: number | undefined

  async function ask(): Promise<void> {
    window.clearTimeout(timer)
    try {
      const response = await fetch(address, { cache: 'no-store', signal: AbortSignal.timeout(20000) })
      const answer = await response.json().catch(() => ({}))
      if (response.ok) show(answer)
      else if (response.status === 401 || response.status === 403) {
        stale('The gateway wants its token again: reload this page.')
      } else stale(answer.error || `The gateway answers ${response.status}.`)
    } catch {
      stale('The gateway does not answer.')
    }
    window.clearTimeout(timer)
    if (!document.hidden) timer = window.setTimeout(ask, refresh)
  }

  function show(report: StatusReport): void {
    told = { at: new Date(report.at).getTime(), since: performance.now() }
    try {
      render(report)
    } catch {
      // A newer gateway than this page, or a proxy's own answer.
      stale('The gateway answers what this page does not understand: reload it.')
      return
    }
    refresh = report.refreshSeconds * 1000
    lastAt = report.at
    byId('notice').hidden = true
    byId('freshness').textContent = `${seconds(report.at)} UTC, again every ${report.refreshSeconds} s`
  }

  document.addEventListener('visibilitychange', () => {
    window.clearTimeout(timer)
    if (!document.hidden) ask()
  })
  window.setInterval(tick, 1000)
  ask()
  find({
    h,
    table,
    byId,
    none,
    icon,
    counted,
    clock: dayAndClock,
    seconds,
    when,
    inUnits,
    usage,
    commandList,
    findLink,
  })
}
