import type { CustomerHour, CustomerReport, CustomersReport, FoundCustomer, UnsettledRecord } from '../../customers.ts'
import type { HourLookup } from '../../lookup.ts'
import type { DimensionReport } from '../../totals.ts'
import type { CustomerName } from '../../unsettled.ts'

type Child = Node | string | false | undefined
type Children = Child | readonly Child[]

interface Column<Row> {
  readonly title: string
  readonly of: (row: Row) => Children
  readonly number?: boolean
  readonly class?: string
}

/** What the rest of the page's script has for this part. */
export interface PageTools {
  readonly byId: (id: string) => HTMLElement
  readonly h: <Tag extends keyof HTMLElementTagNameMap>(
    tag: Tag,
    properties: Readonly<Record<string, string | number | boolean | undefined>>,
    ...children: readonly (Child | readonly Child[])[]
  ) => HTMLElementTagNameMap[Tag]
  readonly table: <Row>(
    name: string,
    columns: readonly Column<Row>[],
    rows: readonly Row[],
    classes: string,
    rowClass?: (row: Row) => string | undefined,
  ) => HTMLTableElement
  readonly icon: (name: string) => SVGElement
  readonly none: (text: string) => HTMLElement
  readonly counted: (number: number, one: string, more: string) => string
  /** `10 Jun 12:00` */
  readonly clock: (iso: string) => string
  /** `12:10:04` */
  readonly seconds: (iso: string) => string
  readonly when: (iso: string) => readonly Child[]
  readonly inUnits: (units: string) => string
  readonly usage: (dimension: DimensionReport, splits: readonly never[], heading: 'h4') => HTMLElement
  readonly commandList: (commands: CustomerReport['commands']) => HTMLElement
  readonly findLink: (name: CustomerName) => HTMLElement
}

/**
 * Finds a customer by what the address names behind `#customer=`, and shows where its units stand. It is asked when
 * somebody looks for one, and not again by itself: so nothing moves under who reads or copies.
 *
 * The page has the text of this function, so that nothing outside of it may be named in it but types.
 */
export function findCustomer(tools: PageTools): void {
  const { byId, h, table, icon, none, counted, clock, seconds, when, inUnits, usage, commandList, findLink } = tools
  const MARK = '#customer='
  const input = byId('find-text') as HTMLInputElement
  const address = new URL('customers.json', location.origin + location.pathname)
  let asked = 0

  const say = (text: string) => {
    byId('find-said').textContent = text
  }

  const FOUND_COLUMNS: readonly (Column<FoundCustomer> & {
    readonly known: (name: FoundCustomer) => string | undefined
  })[] = [
    {
      title: 'Customer',
      class: 'anywhere',
      known: ({ customer }) => customer,
      of: ({ licence, ...name }) => [findLink(name), licence !== undefined && h('small', {}, ` licence ${licence}`)],
    },
    ...(['product', 'tenant', 'identifier', 'agreement'] as const).map(fact => ({
      title: fact === 'identifier' ? 'Older identifier' : fact.slice(0, 1).toUpperCase() + fact.slice(1),
      class: 'anywhere',
      known: (name: FoundCustomer) => name[fact],
      of: (name: FoundCustomer) => name[fact] ?? '–',
    })),
  ]

  function factsOf({ licence, product, tenant, identifier, agreement }: FoundCustomer): string {
    const facts = [
      licence !== undefined && `licence ${licence}`,
      `product ${product}`,
      tenant !== undefined && `tenant ${tenant}`,
      identifier !== undefined && `older identifier ${identifier}`,
      agreement === undefined ? 'no agreement known' : `agreement ${agreement}`,
    ]
    return facts.filter(Boolean).join(' · ')
  }

  const RECORD_COLUMNS: readonly Column<UnsettledRecord>[] = [
    { title: 'Record', of: ({ id }) => id },
    { title: 'Hour', class: 'line', of: ({ hour }) => clock(hour) },
    { title: 'Dimension', class: 'anywhere', of: ({ dimension }) => dimension },
    { title: 'Quantity', number: true, of: ({ quantity }) => quantity.words },
    {
      title: 'State',
      class: 'anywhere',
      of: ({ state, reason, takenUntil }) => [
        reason === undefined ? state : `${state}: ${reason}`,
        ...(takenUntil === undefined ? [] : [', AWS takes it until ', ...when(takenUntil)]),
      ],
    },
    { title: 'Last answer', class: 'anywhere', of: ({ lastAnswer = 'never sent' }) => lastAnswer },
  ]

  const STATES: Readonly<Record<CustomerHour['state'], readonly [icon: string, words: string]>> = {
    metered: ['check', 'metered'],
    pending: ['up', 'pending'],
    held: ['hand', 'held'],
    open: ['clock', 'open'],
    none: ['idle', 'in no record'],
  }

  function stateOf({ state, heldReasons }: CustomerHour): HTMLElement {
    const [name, words] = STATES[state]
    const why = heldReasons.length > 0 && `: ${heldReasons.join(', ')}`
    return h('span', { class: `state ${state}` }, icon(name), h('span', {}, words, why))
  }

  /** A dimension's hours, and beneath them where more is said of the one that somebody picks. */
  function hoursOf(
    { name, units }: DimensionReport,
    hours: readonly CustomerHour[],
    lookups: readonly HourLookup[],
  ): Children {
    const more = h('div', { class: 'lookup', role: 'region', 'aria-label': `${name}: an hour looked up`, hidden: true })
    const pick = (hour: string) => {
      const button = h(
        'button',
        { type: 'button' },
        'Look up',
        h('span', { class: 'hidden' }, ` ${name}, ${clock(hour)}`),
      )
      button.addEventListener('click', () => {
        const found = lookups.find(lookup => lookup.hour === hour)
        if (found === undefined) return
        more.replaceChildren(...lookUp(found))
        more.hidden = false
        more.querySelector('h5')?.focus()
      })
      return button
    }
    const figures = ['recorded', 'included', 'metered', 'pending', 'held', 'balance'] as const
    // Most customers have nothing of some of them.
    const shown = figures.filter(figure => hours.some(hour => Number(hour[figure].amount) !== 0))
    const columns: readonly Column<CustomerHour>[] = [
      { title: 'Hour', class: 'line', of: ({ hour }) => clock(hour) },
      // Before the figures: on a phone those are beyond the edge.
      { title: 'Its record', class: 'line', of: stateOf },
      { title: 'CloudTrail', class: 'line', of: ({ hour }) => pick(hour) },
      ...shown.map(figure => ({
        title: figure.slice(0, 1).toUpperCase() + figure.slice(1),
        number: true,
        of: (hour: CustomerHour) => (Number(hour[figure].amount) === 0 ? '–' : hour[figure].quantity),
      })),
    ]
    const title = `${name} by hour`
    return [
      h('h4', {}, title, h('small', {}, ` ${inUnits(units)}`)),
      scrolled(title, table(title, columns, hours, 'counts')),
      more,
    ]
  }

  const scrolled = (name: string, what: HTMLElement) =>
    h('div', { class: 'wide hours', role: 'region', tabindex: 0, 'aria-label': name }, what)

  function lookUp({ hour, from, to, commands, consoles }: HourLookup): HTMLElement[] {
    const links = consoles.flatMap(({ region, url }, index) => [
      index > 0 && ', ',
      h('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, `CloudTrail of ${region}`),
    ])
    return [
      h('h5', { tabindex: -1 }, `The hour ${clock(hour)}`),
      commandList(commands),
      h(
        'p',
        { class: 'soft' },
        consoles.length === 0
          ? 'Nothing of this customer has been sent to AWS in a region that is known here.'
          : 'In AWS’s console (a new tab): ',
        links,
        consoles.length > 0 &&
          `. The calls are BatchMeterUsage, made between ${clock(from)} and ${clock(to)}. CloudTrail has them after about ` +
            '15 minutes, for 90 days.',
      ),
    ]
  }

  function shown(name: FoundCustomer, report: CustomerReport, at: string): HTMLElement {
    const { dimensions, hours, lookups, records, moreRecords, commands, since } = report
    return h(
      'article',
      { class: 'customer' },
      h('h3', { tabindex: -1 }, name.customer, h('small', {}, ` as of ${seconds(at)}`)),
      h('p', { class: 'soft anywhere' }, factsOf(name)),
      dimensions.length === 0 && none('Nothing was ever recorded for this customer.'),
      h(
        'div',
        { class: 'cards' },
        dimensions.map(dimension => usage(dimension, [], 'h4')),
      ),
      h('h4', {}, 'Unsettled records', h('small', {}, ' of any hour')),
      records.length === 0
        ? none('None is pending or held.')
        : scrolled('Unsettled records', table('Unsettled records', RECORD_COLUMNS, records, 'stacked unsettled')),
      moreRecords && none('More are not shown here; the command below lists all.'),
      hours.length > 0 &&
        none(
          'By hour, each has one record at most. A record takes whole units, those of hours before included: so the balance ' +
            'of an hour by itself may be below zero.',
        ),
      hours.length === 0
        ? dimensions.length > 0 && none(`Nothing was recorded or billed since ${clock(since)}.`)
        : dimensions.flatMap(dimension => {
            const own = hours.filter(hour => hour.dimension === dimension.name)
            return own.length === 0 ? [] : (hoursOf(dimension, own, lookups) as Child[])
          }),
      h('h4', {}, 'More of this customer'),
      commandList(commands),
    )
  }

  function show({ at, knownAt, find, found, customers, customer }: CustomersReport): void {
    const [first] = customers
    if (first === undefined) {
      say(`No customer is called “${find}”, as of ${seconds(knownAt)}. Usage without a customer is further below.`)
      byId('found').replaceChildren()
      return
    }
    if (customer !== null) {
      say('')
      byId('found').replaceChildren(shown(first, customer, at))
      byId('found').querySelector('h3')?.focus()
      return
    }
    const more = found > customers.length ? `, of whom ${customers.length} are shown: say more of the name` : ''
    say(`${counted(found, 'customer is', 'customers are')} called “${find}”${more}.`)
    const columns = FOUND_COLUMNS.filter(({ known }) => customers.some(name => known(name) !== undefined))
    byId('found').replaceChildren(table('Customers who are called so', columns, customers, 'stacked'))
  }

  async function look(): Promise<void> {
    if (!location.hash.startsWith(MARK)) return
    const text = nameIn(location.hash.slice(MARK.length))
    if (text === '') return
    input.value = text
    asked += 1
    const turn = asked
    say('Looking…')
    address.searchParams.set('find', text)
    const said = await answerTo(address)
    // Somebody has looked for another meanwhile.
    if (turn !== asked) return
    if (typeof said !== 'string') show(said)
    else {
      say(said)
      byId('found').replaceChildren()
    }
  }

  function nameIn(mark: string): string {
    try {
      return decodeURIComponent(mark).trim()
    } catch {
      return mark
    }
  }

  /** Or why there is none. */
  async function answerTo(question: URL): Promise<CustomersReport | string> {
    try {
      const response = await fetch(question, { cache: 'no-store', signal: AbortSignal.timeout(20000) })
      const answer = await response.json().catch(() => ({}))
      if (response.ok && Array.isArray(answer.customers)) return answer
      if (response.status === 401 || response.status === 403)
        return 'The gateway wants its token again: reload this page.'
      return answer.error || `The gateway answers ${response.status}.`
    } catch {
      return 'The gateway does not answer.'
    }
  }

  byId('find-form').addEventListener('submit', event => {
    event.preventDefault()
    const mark = MARK + encodeURIComponent(input.value.trim())
    if (location.hash === mark) look()
    else location.hash = mark
  })
  window.addEventListener('hashchange', look)
  look()
}
