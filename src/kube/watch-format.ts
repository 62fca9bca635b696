// What lists and watches look like on the wire. Everything that is not as it should be is an APIError.
import { APIError } from './api-error.ts'

/** managedFields are half of an object's bytes, and nobody here reads them. */
export function withoutManagedFields<T extends { readonly metadata: object }>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown }
  return { ...object, metadata }
}

export function parseList(value: unknown): {
  items: unknown[]
  resourceVersion: string
  continueToken: string | undefined
} {
  const { items, metadata } = (value ?? {}) as {
    items?: unknown
    metadata?: { resourceVersion?: unknown; continue?: unknown }
  }
  if (!Array.isArray(items) || typeof metadata?.resourceVersion !== 'string')
    throw new APIError('Transient', 'the answer is not a list')
  const token = metadata.continue
  return {
    items,
    resourceVersion: metadata.resourceVersion,
    continueToken: typeof token === 'string' && token !== '' ? token : undefined,
  }
}

const eventTypes = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'] as const

export function parseEvent(line: string): { type: (typeof eventTypes)[number]; object: unknown } {
  let event: { type?: unknown; object?: unknown }
  try {
    event = JSON.parse(line)
  } catch (cause) {
    throw new APIError('Transient', 'a line of the watch is not JSON', {}, cause)
  }
  const type = eventTypes.find((known) => known === event?.type)
  if (type === undefined) throw new APIError('Transient', `the watch sent an event of type ${String(event?.type)}`)
  return { type, object: event.object }
}

export function streamError(value: unknown): APIError {
  const { code, message } = (value ?? {}) as { code?: unknown; message?: unknown }
  return new APIError(code === 410 ? 'Gone' : 'Transient', `the watch ended with an error: ${code} ${message}`)
}

/**
 * Whether `a` was before `b`: resourceVersions are decimal numbers that grow, and may be compared, since Kubernetes 1.35.
 * False for any that are none: then the order of the stream is all there is.
 */
export function isOlder(a: string, b: string): boolean {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return false
  return a.length === b.length ? a < b : a.length < b.length
}
