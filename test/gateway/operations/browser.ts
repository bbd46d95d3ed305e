import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import chromium from '@sparticuz/chromium'
import puppeteer, { type Browser, type Page } from 'puppeteer-core'

export const WIDTHS = { phone: 360, tablet: 768, desk: 1280 } as const
export const SCHEMES = ['light', 'dark'] as const

/** Not that package's own, which are for AWS Lambda: they switch web security off, and give each browser one process. */
const ARGS = ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none']

/** A headless Chromium, or undefined where this machine cannot run the one that npm brings. */
export async function startBrowser(t: TestContext): Promise<Browser | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    t.skip(`the Chromium that npm brings is for linux x64, this is ${process.platform} ${process.arch}`)
    return undefined
  }
  try {
    const executablePath = await chromium.executablePath()
    const browser = await puppeteer.launch({ args: ARGS, executablePath, headless: 'shell' })
    t.after(() => browser.close())
    return browser
  } catch (error) {
    if (process.env.CI) throw error
    t.skip(`Chromium does not start on this machine: ${error}`)
    return undefined
  }
}

export interface OpenOptions {
  readonly width?: number
  readonly password?: string
}

/** What went wrong in the page, as its console and the browser tell. */
const complaints = new WeakMap<Page, string[]>()
export const complaintsOf = (page: Page): readonly string[] => complaints.get(page) ?? []

export async function open(
  t: TestContext,
  browser: Browser,
  url: string,
  { width = WIDTHS.desk, password }: OpenOptions = {},
): Promise<Page> {
  const context = await browser.createBrowserContext()
  t.after(() => context.close())
  const page = await context.newPage()
  const said: string[] = []
  complaints.set(page, said)
  page.on('console', message => said.push(message.text()))
  page.on('pageerror', error => said.push(String(error)))
  page.on('dialog', async dialog => {
    said.push(`a dialog: ${dialog.message()}`)
    await dialog.dismiss()
  })
  await resize(page, width)
  if (password !== undefined) await page.authenticate({ username: 'operator', password })
  await page.goto(url)
  return page
}

export function resize(page: Page, width: number): Promise<void> {
  return page.setViewport({ width, height: 800, isMobile: width < 600, hasTouch: width < 600 })
}

/** Waits until what `selector` finds shows a text that matches. */
export async function shows(page: Page, selector: string, text: RegExp): Promise<void> {
  const found = `new RegExp(${JSON.stringify(text.source)}).test(document.querySelector(${JSON.stringify(selector)})?.innerText ?? '')`
  try {
    await page.waitForFunction(found, { timeout: 10_000, polling: 20 })
  } catch {
    const actual = await page.$eval(selector, element => element.textContent)
    throw new Error(`expected ${selector} to show ${text}, it shows ${JSON.stringify(actual)}`)
  }
}

export const loaded = (page: Page) => page.waitForSelector('#content:not([hidden])', { timeout: 10_000 })

/** Pictures to look at, into the folder STATUS_PAGE_PICTURES where it is set. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.STATUS_PAGE_PICTURES
  if (folder === undefined) return
  await mkdir(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}

/**
 * In the page: texts whose contrast to what is behind them is below what WCAG asks (4.5, or 3 for large text), each as
 * `ratio text`. https://www.w3.org/TR/WCAG22/#contrast-minimum
 */
export const LOW_CONTRAST = `(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })
  const known = new Map()
  const channels = color => {
    if (!known.has(color)) known.set(color, drawn(color))
    return known.get(color)
  }
  const drawn = color => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data
    return { rgb: [red, green, blue], alpha: alpha / 255 }
  }
  const luminance = rgb => {
    const [red, green, blue] = rgb.map(value => value / 255)
      .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = channels(getComputedStyle(at).backgroundColor)
      if (alpha === 1) return rgb
      if (alpha > 0) throw new Error('a background that is half transparent: ' + at.className)
    }
    return [255, 255, 255]
  }
  const low = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    const text = texts.currentNode.data.trim()
    if (text === '' || !element.checkVisibility() || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName)) continue
    const style = getComputedStyle(element)
    const [a, b] = [luminance(channels(style.color).rgb), luminance(behind(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const size = parseFloat(style.fontSize)
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    if (ratio < (large ? 3 : 4.5)) low.push(ratio.toFixed(2) + ' ' + text)
  }
  return low
})()`

/** In the page: what sticks out of the window to the right, but for what can be scrolled by itself. */
export const STICKING_OUT = `(() => {
  const width = document.documentElement.clientWidth
  const out = [...document.body.querySelectorAll('*')]
    .filter(element => !element.closest('.wide, .hidden, .skip, .symbols') && element.checkVisibility())
    .filter(element => element.getBoundingClientRect().right > width + 0.5)
    .map(element => element.tagName + ' ' + element.className + ' ' + element.textContent.slice(0, 40))
  if (document.documentElement.scrollWidth > width) out.push('the page is ' + document.documentElement.scrollWidth + ' wide')
  return out
})()`
