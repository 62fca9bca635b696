// Text of others on its way to a terminal or a picture: names of directories and what their files say may hold anything.

/** Control characters, line separators, and what turns the direction of writing: each could make one line look like another. */
const unprintable = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu

/** Each of them as its code point, such as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
