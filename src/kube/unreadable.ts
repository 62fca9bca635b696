// Objects that the API server has and this program cannot read: of another version, edited past their schema, damaged. They exist, so nothing
// may act as if they did not: each keeps its place under its key, beside those that were read.
import { APIError } from './api-error.ts'
import { keyOf, type UnreadableObject } from './object.ts'

export { isUnreadable, type UnreadableObject } from './object.ts'

import type { Resource } from './resource.ts'
import { withoutManagedFields } from './watch-format.ts'

/** What `readObject` needs of an object. */
export type Answer = { readonly metadata: object }

/** The answer was an object that could not be read. */
export class UnreadableObjectError extends Error {
  override readonly name = 'UnreadableObjectError'
  readonly object: UnreadableObject
  /** it answered a write, which was done */
  readonly wasWritten: boolean

  constructor(plural: string, object: UnreadableObject, wasWritten: boolean) {
    super(`${plural} ${keyOf(object)} cannot be read: ${object.unreadable}`)
    this.object = object
    this.wasWritten = wasWritten
  }
}

const whyLength = 300

/** Throws APIError of kind Transient for what has no name, namespace or resourceVersion: the API server stores no such object. */
export function readObject<T extends Answer>(resource: Resource<T>, value: unknown): T | UnreadableObject {
  try {
    return withoutManagedFields(resource.parse(value))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const { apiVersion, kind, metadata } = recordOf(value)
    const { name, namespace, uid, resourceVersion, ...rest } = recordOf(metadata)
    const hasKey = isText(name) && isText(resourceVersion) && (isText(namespace) || !resource.namespaced)
    if (!hasKey) throw new APIError('Transient', `what came is no object of ${resource.plural}: ${why}`, {}, cause)
    const { managedFields: _, ...shown } = { ...recordOf(metadata), ...rest }
    return {
      ...(isText(apiVersion) ? { apiVersion } : {}),
      ...(isText(kind) ? { kind } : {}),
      metadata: { name, ...(isText(namespace) ? { namespace } : {}), uid: isText(uid) ? uid : '', resourceVersion },
      unreadable: why.slice(0, whyLength),
      value: { ...recordOf(value), metadata: shown },
    }
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {}
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
