// Live reads of what a store must not be believed about: a decision that gives something up never rests on news that may be old.
import type { VMSnapshotSet } from '../api/vmsnapshotset.ts'
import type { Definitions } from '../kube/definitions.ts'
import type { ClusterNode } from './watched.ts'

/** Each throws APIError where it gets no answer, but for `definitions`, whose answer says so. */
export interface ClusterReads {
  /** undefined: proven, there is none */
  node(nodeName: string): Promise<ClusterNode | undefined>
  /** of the snapshots and of the sets */
  definitions(): Promise<Definitions>
  hasChildren(set: VMSnapshotSet): Promise<boolean>
  /** whether any VMSnapshot names the node */
  isNamed(nodeName: string): Promise<boolean>
}
