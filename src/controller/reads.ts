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

/** One read for all who ask while it is under way: a fleet that is deleted asks a thousand times a second. Never an older one. */
export function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  let next: Promise<T> | undefined
  const start = (): Promise<T> => {
    next = undefined
    running = read().finally(() => {
      running = undefined
    })
    return running
  }
  return () => {
    if (running === undefined) return start()
    // What is under way may have begun before whatever the asker has seen: it waits for the one after.
    next ??= running.then(start, start)
    return next
  }
}
