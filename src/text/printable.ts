/**
 * Text from outside on one line, with control characters escaped: an attribute or an error message must not be able
 * to steer the terminal it is shown on.
 */
export function printable(text: string, length = Number.POSITIVE_INFINITY): string {
  const safe = text.replace(
    // Control characters, and those that turn the direction of writing.
    /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return safe.length > length ? `${safe.slice(0, length - 1)}…` : safe
}
