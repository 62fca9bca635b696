// Whether CustomResourceDefinitions stand, read live: deleting one marks every object of it deleted, and nobody may have meant those.
import { APIError } from './api-error.ts'
import type { Connection } from './connection.ts'
import { shared } from './shared.ts'

export type Definitions =
  | { readonly kind: 'stable' }
  | { readonly kind: 'terminating'; readonly name: string }
  /** there was no answer */
  | { readonly kind: 'unknown'; readonly message: string }

/**
 * Reads definitions by name, each never before it was asked for, one read for all who ask meanwhile. Never throws: what could not be read is an answer
 * too. The first that is being deleted is named.
 */
export function definitionReads(connection: Connection): (names: readonly string[]) => Promise<Definitions> {
  const reads = new Map<string, () => Promise<boolean>>()
  const isDeleting = (name: string) => {
    const read = reads.get(name) ?? shared(() => readIsDeleting(connection, name))
    reads.set(name, read)
    return read()
  }
  return async (names) => {
    try {
      const deleting = await Promise.all(names.map(isDeleting))
      const name = names.find((_, index) => deleting[index])
      return name === undefined ? { kind: 'stable' } : { kind: 'terminating', name }
    } catch (error) {
      return { kind: 'unknown', message: error instanceof Error ? error.message : String(error) }
    }
  }
}

/** Of forty kilobytes that a definition has, its metadata are wanted. */
const metadataOnly = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json'

async function readIsDeleting(connection: Connection, name: string): Promise<boolean> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`
  const definition = await connection.request({ method: 'GET', path, accept: metadataOnly })
  const { metadata } = (definition ?? {}) as { metadata?: { name?: string; deletionTimestamp?: string } }
  if (metadata?.name !== name) throw new APIError('Transient', `the answer is not the definition ${name}`)
  return metadata.deletionTimestamp !== undefined
}
