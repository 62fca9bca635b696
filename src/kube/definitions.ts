// Whether CustomResourceDefinitions stand, read live: deleting one marks every object of it deleted, and nobody may have meant those.
import type { Connection } from './connection.ts'

export type Definitions =
  | { readonly kind: 'stable' }
  | { readonly kind: 'terminating'; readonly name: string }
  /** there was no answer */
  | { readonly kind: 'unknown'; readonly message: string }

/** Never throws: what could not be read is an answer too. The first that is being deleted is named. */
export async function readDefinitions(connection: Connection, names: readonly string[]): Promise<Definitions> {
  try {
    const deleting = await Promise.all(names.map((name) => isDeleting(connection, name)))
    const name = names.find((_, index) => deleting[index])
    return name === undefined ? { kind: 'stable' } : { kind: 'terminating', name }
  } catch (error) {
    return { kind: 'unknown', message: error instanceof Error ? error.message : String(error) }
  }
}

async function isDeleting(connection: Connection, name: string): Promise<boolean> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`
  const definition = (await connection.request({ method: 'GET', path })) as {
    metadata?: { deletionTimestamp?: string }
  }
  return definition.metadata?.deletionTimestamp !== undefined
}
