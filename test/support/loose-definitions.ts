// CustomResourceDefinitions that take anything: as edited by hand, or of another version. For objects that this program cannot parse.
import { API_VERSION, GROUP } from '../../src/api/group.ts'
import type { Connection } from '../../src/kube/connection.ts'
import { until } from './until.ts'

const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }

/** Only what objects are selected by keeps its type. Resolves once the API server takes anything. */
export async function loosenDefinitions(connection: Connection): Promise<void> {
  for (const plural of ['vmsnapshots', 'vmsnapshotsets', 'vmsnapshotnodes']) await loosen(connection, plural)
}

async function loosen(connection: Connection, plural: string): Promise<void> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${GROUP}`
  const definition = (await connection.request({ method: 'GET', path })) as {
    spec: { versions: { schema: object; selectableFields?: object[] }[] }
  }
  const isSnapshot = plural === 'vmsnapshots'
  const spec = isSnapshot ? { ...anything, properties: { nodeName: { type: 'string' } } } : anything
  const versions = definition.spec.versions.map((version) => ({
    ...version,
    schema: { openAPIV3Schema: { type: 'object', properties: { spec, status: anything } } },
    ...(isSnapshot ? { selectableFields: [{ jsonPath: '.spec.nodeName' }] } : {}),
  }))
  await connection.request({ method: 'PUT', path, body: { ...definition, spec: { ...definition.spec, versions } } })
  await until(`${plural} take anything`, () => takesAnything(connection, plural), Boolean)
}

async function takesAnything(connection: Connection, plural: string): Promise<boolean> {
  const kind = { vmsnapshots: 'VMSnapshot', vmsnapshotsets: 'VMSnapshotSet', vmsnapshotnodes: 'VMSnapshotNode' }[plural]
  const collection = plural === 'vmsnapshotnodes' ? plural : `namespaces/default/${plural}`
  const body = { apiVersion: API_VERSION, kind, metadata: { name: 'probe' }, spec: { nodeName: 'none', probe: [5] } }
  const query = { dryRun: 'All' }
  try {
    const path = `/apis/${API_VERSION}/${collection}`
    const made = (await connection.request({ method: 'POST', path, query, body })) as { spec: { probe?: unknown } }
    return made.spec.probe !== undefined
  } catch {
    return false
  }
}
