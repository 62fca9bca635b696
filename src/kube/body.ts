// Bodies of answers: whole ones as JSON, streams as lines, both bounded.
import type { IncomingMessage } from 'node:http'
import { StringDecoder } from 'node:string_decoder'
import { APIError } from './api-error.ts'

const maxBodyBytes = 64 * 1024 * 1024
/** Longest line of a watch: objects are limited to about 3 MiB by the API server. */
const maxLineLength = 8 * 1024 * 1024

export async function bodyOf(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response) {
    length += chunk.length
    if (length > maxBodyBytes) throw new APIError('Transient', `an answer of more than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  signal.throwIfAborted()
  return Buffer.concat(chunks).toString('utf8')
}

export async function linesOf(
  response: IncomingMessage,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let pending = ''
  for await (const chunk of response) {
    // Lines end at LF only: objects may hold U+2028 and other things that readline takes for an end.
    const [first = '', ...rest] = decoder.write(chunk).split('\n')
    const lines = [pending + first, ...rest]
    pending = lines.pop() ?? ''
    if (pending.length > maxLineLength)
      throw new APIError('Transient', `a line of more than ${maxLineLength} characters`)
    for (const line of lines) if (line !== '') onLine(line)
  }
  signal.throwIfAborted()
}

export function parseJSON(name: string, text: string, status: number): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch (cause) {
    // Error pages of proxies and plain-text answers are no JSON; their status says enough.
    if (status >= 300) return { message: text.slice(0, 200) }
    throw new APIError('Transient', `${name}: the answer is not JSON`, { status }, cause)
  }
}

// Characters that JSON takes as they are, and YAML refuses (controls, U+FEFF, U+FFFE, U+FFFF) or folds like a line break (NEL, LS, PS).
const escapedForYAML = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g

/** A request body: JSON that also means the same as YAML, which is what the API server reads a server-side apply as. */
export function textOf(body: unknown): string {
  return JSON.stringify(body).replace(
    escapedForYAML,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
