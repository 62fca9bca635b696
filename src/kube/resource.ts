// One kind of object behind typed verbs. The kind is given as data, and the caller's parser makes the type.
import type { APIRequest, Connection, Query } from './connection.ts'
import type { JSONPatchOperation, ObjectKey } from './object.ts'
import { type Answer, isUnreadable, readObject, type UnreadableObject, UnreadableObjectError } from './unreadable.ts'
import { parseList } from './watch-format.ts'

export { keyOf, type ObjectKey } from './object.ts'

/** A kind of object. `parse` throws Error, one line, for what is none of it, or cannot be read. */
export interface Resource<T> {
  /** '' for the core group */
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly namespaced: boolean
  readonly parse: (value: unknown) => T
}

export function splitKey(key: ObjectKey): { namespace: string | undefined; name: string } {
  const slash = key.indexOf('/')
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

export interface ApplyOptions {
  readonly fieldManager: string
  /** takes fields over from other managers */
  readonly force: boolean
  readonly subresource?: 'status'
}

export interface Preconditions {
  readonly uid?: string
  readonly resourceVersion?: string
}

export interface ListOptions {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly limit?: number
}

/** Every verb throws APIError, and UnreadableObjectError where the answer cannot be read: that of a write says that it was written. */
export class Client<T extends Answer> {
  readonly #connection: Connection
  readonly #resource: Resource<T>
  readonly #mayBegin: (() => void) | undefined

  /** `mayBegin`: see APIRequest. */
  constructor(connection: Connection, resource: Resource<T>, mayBegin?: () => void) {
    this.#connection = connection
    this.#resource = resource
    this.#mayBegin = mayBegin
  }

  /** The same, for requests that only leave while `mayBegin` does not throw. */
  within(mayBegin: () => void): Client<T> {
    return new Client(this.#connection, this.#resource, mayBegin)
  }

  async get(key: ObjectKey): Promise<T> {
    return this.#read(await this.#request({ method: 'GET', path: this.#path(key) }), false)
  }

  /** All of them at once: for selectors that select few. */
  async list(options: ListOptions): Promise<readonly T[]> {
    return (await this.#items(options)).map((item) => this.#read(item, false))
  }

  /** Also those that cannot be read. */
  async listAll(options: ListOptions): Promise<readonly (T | UnreadableObject)[]> {
    return (await this.#items(options)).map((item) => readObject(this.#resource, item))
  }

  async #items({ namespace, limit, ...selectors }: ListOptions): Promise<readonly unknown[]> {
    const path = collectionPath(this.#resource, namespace)
    const query = { ...selectors, limit: limit === undefined ? undefined : String(limit) }
    return parseList(await this.#request({ method: 'GET', path, query })).items
  }

  /** `fieldManager`: who shall own the fields; by default it is named after the program. */
  async create(object: object, namespace?: string, fieldManager?: string): Promise<T> {
    const path = collectionPath(this.#resource, namespace)
    const query = { fieldManager }
    return this.#read(await this.#request({ method: 'POST', path, query, body: object }), true)
  }

  /** With the resourceVersion in `object`, one that changed meanwhile is an error of kind Conflict. */
  async replace(key: ObjectKey, object: object): Promise<T> {
    return this.#read(await this.#request({ method: 'PUT', path: this.#path(key), body: object }), true)
  }

  /** JSON Patch. A `test` that fails is an error of kind Conflict. */
  async patch(key: ObjectKey, operations: readonly JSONPatchOperation[], subresource?: 'status'): Promise<T> {
    const path = this.#path(key, subresource)
    const contentType = 'application/json-patch+json'
    return this.#read(await this.#request({ method: 'PATCH', path, body: operations, contentType }), true)
  }

  /** Server-side apply. With a resourceVersion in `body`, an object that changed meanwhile is an error of kind Conflict. */
  async apply(key: ObjectKey, body: object, { fieldManager, force, subresource }: ApplyOptions): Promise<T> {
    const query: Query = { fieldManager, force: String(force) }
    const path = this.#path(key, subresource)
    const contentType = 'application/apply-patch+yaml'
    return this.#read(await this.#request({ method: 'PATCH', path, query, body, contentType }), true)
  }

  async delete(key: ObjectKey, preconditions?: Preconditions): Promise<void> {
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', ...(preconditions ? { preconditions } : {}) }
    await this.#request({ method: 'DELETE', path: this.#path(key), body })
  }

  #read(answer: unknown, wasWritten: boolean): T {
    const object = readObject(this.#resource, answer)
    if (isUnreadable(object)) throw new UnreadableObjectError(this.#resource.plural, object, wasWritten)
    return object
  }

  #request(request: APIRequest): Promise<unknown> {
    return this.#connection.request({ ...request, mayBegin: this.#mayBegin })
  }

  #path(key: ObjectKey, subresource?: string): string {
    const { namespace, name } = splitKey(key)
    const path = `${collectionPath(this.#resource, namespace)}/${encodeURIComponent(name)}`
    return subresource === undefined ? path : `${path}/${subresource}`
  }
}

/** Path of a collection; without `namespace` that of all namespaces. */
export function collectionPath({ group, version, plural }: Resource<unknown>, namespace?: string): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
  return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`
}
