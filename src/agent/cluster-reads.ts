// Live reads of what can forbid a removal: no store, because a stale answer would let a directory go.
import { vmSnapshotSetResource } from '../api/vmsnapshotset.ts'
import type { Connection } from '../kube/connection.ts'
import type { ClusterReads } from './observe.ts'

export function clusterReads(connection: Connection): ClusterReads {
  return {
    set: async (namespace, name) => {
      const { group, version, plural, parse } = vmSnapshotSetResource
      const path = `/apis/${group}/${version}/namespaces/${namespace}/${plural}/${encodeURIComponent(name)}`
      return parse(await connection.request({ method: 'GET', path }))
    },
    terminatingDefinition: async (names) => {
      const deleting = await Promise.all(names.map((name) => isDeleting(connection, name)))
      return names.find((_, index) => deleting[index])
    },
  }
}

async function isDeleting(connection: Connection, name: string): Promise<boolean> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`
  const definition = (await connection.request({ method: 'GET', path })) as {
    metadata?: { deletionTimestamp?: string }
  }
  return definition.metadata?.deletionTimestamp !== undefined
}
