// Everything of a kind in all namespaces, in pages, as the API server has it now.
import type { Connection } from '../kube/connection.ts'
import { collectionPath, type Resource } from '../kube/resource.ts'
import { parseList } from '../kube/watch-format.ts'

const pageSize = '500'

/** Throws APIError, also of kind Gone where the list took too long. */
export async function listAll<T>(connection: Connection, resource: Resource<T>): Promise<readonly T[]> {
  const found: T[] = []
  let token: string | undefined
  do {
    const query = { limit: pageSize, continue: token }
    const page = parseList(await connection.request({ method: 'GET', path: collectionPath(resource), query }))
    found.push(...page.items.map((item) => resource.parse(item)))
    token = page.continueToken
  } while (token !== undefined)
  return found
}
