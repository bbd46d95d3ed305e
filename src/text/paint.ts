import { styleText } from 'node:util'

export type Format = Parameters<typeof styleText>[0]

/** Gives text a colour, or leaves it as it is. */
export type Paint = (format: Format, text: string) => string

export const plain: Paint = (_, text) => text

/** Colours on a terminal only, and none where NO_COLOR is set. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  return (format, text) => styleText(format, text, { stream })
}
