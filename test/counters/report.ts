import { Table } from 'console-table-printer'
import { NAIVE, type Result } from './lab.ts'
import type { Scenario } from './scenarios/scenario.ts'

const CLASSES = ['exact', 'bounded', 'alarm'] as const

/** Tables for a person: one of situations for each engine, and how many are right. */
export function print(results: ReadonlyMap<string, readonly Result[]>, scenarios: readonly Scenario[]): void {
  for (const [engine, own] of results) {
    console.log(`\nOn ${engine}:`)
    printScenarios(own)
    for (const klass of CLASSES) {
      const of = own.filter(one => one.class === klass)
      if (of.length === 0) continue
      console.log(`${klass}: ${of.filter(({ verdict }) => verdict === 'pass').length} of ${of.length} pass`)
    }
    for (const { name } of NAIVE) console.log(`${name}: ${summary(own, name)}`)
    printWrong(own, scenarios)
  }
}

function printScenarios(results: readonly Result[]): void {
  const right = new Set(['used', 'billed', 'held', 'told', 'over', 'under'])
  const names = ['situation', 'class', ...right, 'verdict', ...NAIVE.map(({ name }) => name)]
  const table = new Table({
    shouldDisableColors: !process.stdout.isTTY,
    columns: names.map(name => ({ name, alignment: right.has(name) ? 'right' : 'left' })),
  })
  for (const result of results) {
    const { name, used, billed, held, told, over, under, verdict, faults, naive } = result
    table.addRow({
      ...{ situation: name, class: result.class, used: figure(used), billed: figure(billed), held: figure(held) },
      ...{ told: figure(told), over: share(over, used), under: share(under, used) },
      verdict: verdict === 'pass' ? 'pass' : `FAIL: ${faults.join(', ')}`,
      ...Object.fromEntries(
        Object.entries(naive).map(([of, one]) => [of, one === undefined ? '-' : inWords(one, used)]),
      ),
    })
  }
  table.printTable()
}

function printWrong(results: readonly Result[], scenarios: readonly Scenario[]): void {
  for (const { name, verdict, faults, alarms } of results) {
    if (verdict === 'pass') continue
    const why = scenarios.find(one => one.name === name)?.why
    console.log(
      `\n${name}: ${faults.join(', ')}\n  ${why}${alarms.length > 0 ? `\n  heard: ${alarms.join('; ')}` : ''}`,
    )
  }
}

const isRight = ({ over, under }: { over: number; under: number }) => over === 0 && under === 0

function inWords(one: { readonly over: number; readonly under: number }, used: number): string {
  if (isRight(one)) return 'right'
  const parts = [one.over > 0 && `+${share(one.over, used)}`, one.under > 0 && `-${share(one.under, used)}`]
  return parts.filter(Boolean).join(' ')
}

function summary(results: readonly Result[], name: string): string {
  const of = results.flatMap(({ naive }) => naive[name] ?? [])
  const [over, under] = [of.filter(one => one.over > 0).length, of.filter(one => one.under > 0).length]
  return `exact in ${of.filter(isRight).length} of ${of.length}; bills too much in ${over}, too little in ${under}`
}

const figure = (value: number) => (value === 0 ? '' : String(Math.round(value * 1000) / 1000))

function share(part: number, whole: number): string {
  if (part === 0) return ''
  const percent = (100 * part) / whole
  return whole === 0 ? 'all' : `${percent < 1 ? percent.toFixed(2) : Math.round(percent)} %`
}
