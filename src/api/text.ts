// Text that goes into status is bounded in bytes as JSON, whatever names a directory holds.

const encoder = new TextEncoder()

/**
 * `text` where its JSON, without the quotes, takes at most `maxBytes` bytes; else its beginning and an ellipsis.
 * Half of a surrogate pair becomes U+FFFD, as in the API server: it would read back as another text than was written.
 */
export function cutText(original: string, maxBytes: number): string {
  const text = original.toWellFormed()
  if (jsonBytes(text) <= maxBytes) return text
  let kept = ''
  let left = maxBytes - jsonBytes('…')
  for (const character of text) {
    left -= jsonBytes(character)
    if (left < 0) break
    kept += character
  }
  return `${kept}…`
}

function jsonBytes(text: string): number {
  return encoder.encode(JSON.stringify(text)).length - 2
}
