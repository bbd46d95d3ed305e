/**
 * What could steer a terminal or deceive who reads it: control characters, line separators, what turns the direction of
 * writing, and all that is not seen (zero-width, tags, fillers, variation selectors, annotations, halves of characters).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

/** Text from outside on one line of at most `length` characters, with what must not be printed escaped. */
export function printable(text: string, length = Number.POSITIVE_INFINITY): string {
  // It only gets longer.
  const safe = text.slice(0, length + 1).replace(UNPRINTABLE, escaped)
  return safe.length > length ? `${safe.slice(0, length - 1)}…` : safe
}

/** The same for text in which what `kept` has is as it should be. */
export function printableBut(kept: string, text: string): string {
  return text.replace(UNPRINTABLE, character => (kept.includes(character) ? character : escaped(character)))
}

/** The lines of a text as one. */
export function oneLine(text: string): string {
  const lines = text.split('\n').map(line => line.trim())
  return lines.filter(line => line !== '').join(' ')
}

/** As JSON escapes it: each unit of UTF-16. */
function escaped(character: string): string {
  return character
    .split('')
    .map(unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}
