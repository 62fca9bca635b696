// What has become of a node and its agent: the question that decides whether anything of it may be given up. Pure.
// Only a Node that was deleted and stayed away, or one that a person declared out of service, counts as gone.
import type { Reason } from '../api/reasons.ts'
import type { VMSnapshotNode } from '../api/vmsnapshotnode.ts'
import type { AgentPod, ClusterNode } from './watched.ts'

export type NodeState =
  /** it takes new copies */
  | 'ready'
  /** it has an agent, which is not ready: what there is stays as its agent last said */
  | 'notReady'
  | 'agentMissing'
  /** there is no Node of this name, and the grace time is not over */
  | 'absent'
  | 'outOfService'
  | 'gone'

export interface NodeObserved {
  readonly nodeName: string
  readonly node: ClusterNode | undefined
  /** Pods of the DaemonSet on this node */
  readonly pods: readonly AgentPod[]
  readonly record: VMSnapshotNode | undefined
  /** how long this process has known that there is no Node */
  readonly absentForMs: number
  /** how long the node had been gone, as recorded, when this process found no Node */
  readonly goneBeforeMs: number
  /** a Node whose name differs in case only, or that is called like the first label of this name */
  readonly similarName: string | undefined
  /** how long this process has known that there is no Pod */
  readonly agentMissingForMs: number
}

export interface GraceTimes {
  readonly nodeGraceMs: number
  readonly agentGraceMs: number
  /** 0: copies of gone nodes stay */
  readonly copyGraceMs: number
  /** 0: records of gone nodes stay */
  readonly recordGraceMs: number
}

export interface NodeVerdict {
  readonly state: NodeState
  readonly reason: Reason
  readonly message: string
  /** it has lasted long enough to be said of the node's objects */
  readonly isSettled: boolean
  /** only of a node that is gone: for how long at least */
  readonly goneForMs?: number
  /** only of a node that is gone: its copies have lasted for the copy grace time and are to be deleted */
  readonly copiesExpired?: boolean
  /** time alone will change this verdict */
  readonly lookAgainMs?: number
}

const outOfServiceTaint = 'node.kubernetes.io/out-of-service'

export function isGone(state: NodeState): boolean {
  return state === 'gone' || state === 'outOfService'
}

export function isOutOfService(node: ClusterNode): boolean {
  return node.spec?.taints?.some(({ key }) => key === outOfServiceTaint) ?? false
}

export function verdictOf(seen: NodeObserved, grace: GraceTimes): NodeVerdict {
  const { node, nodeName } = seen
  if (node === undefined) return absentVerdict(seen, grace)
  if (isOutOfService(node)) {
    return settled('outOfService', 'NodeOutOfService', `node ${nodeName} is tainted ${outOfServiceTaint}`)
  }
  return agentVerdict(seen, node, grace)
}

function absentVerdict(seen: NodeObserved, grace: GraceTimes): NodeVerdict {
  const leftMs = grace.nodeGraceMs - seen.absentForMs
  if (leftMs <= 0) return goneVerdict(seen, grace)
  const message =
    seen.record === undefined
      ? unseenMessage(seen)
      : `there is no Node ${seen.nodeName}; its deleted VMSnapshots are released unless it comes back within ${grace.nodeGraceMs / 1000} s`
  return { state: 'absent', reason: 'NodeAbsent', message, isSettled: false, lookAgainMs: leftMs }
}

function goneVerdict(seen: NodeObserved, { nodeGraceMs, copyGraceMs }: GraceTimes): NodeVerdict {
  const { nodeName, record, absentForMs, goneBeforeMs } = seen
  const verdict =
    record === undefined
      ? settled('gone', 'NodeAbsent', unseenMessage(seen))
      : settled('gone', 'NodeGone', deletedMessage(nodeName))
  // Two lower bounds of the same time: what this process has measured, and what another one measured and recorded.
  const goneForMs = Math.max(absentForMs - nodeGraceMs + goneBeforeMs, recordedGoneMs(record))
  const leftMs = copyGraceMs - goneForMs
  const expires = copyGraceMs > 0 && leftMs > 0
  return {
    ...verdict,
    goneForMs,
    copiesExpired: copyGraceMs > 0 && leftMs <= 0,
    ...(expires ? { lookAgainMs: leftMs } : {}),
  }
}

export function deletedMessage(nodeName: string): string {
  return `node ${nodeName} was deleted and has not come back`
}

/** Without a VMSnapshotNode there is no sign that a node of this name ever had an agent: the name may be wrong. */
function unseenMessage({ nodeName, similarName }: NodeObserved): string {
  const hint = similarName === undefined ? '' : `; there is a Node ${similarName}`
  return `no Node of the name ${nodeName} and no agent of it has been seen: check spec.nodeName${hint}`
}

/**
 * How long the node had been gone when a controller last recorded it. A sum of times that controllers measured on their monotonic clocks: no
 * clocks of two machines are compared. Void once an agent has written StorageReady since.
 */
export function recordedGoneMs(record: VMSnapshotNode | undefined): number {
  const { goneSeconds = 0, conditions = [] } = record?.status ?? {}
  const storage = conditions.find(({ type }) => type === 'StorageReady')
  return storage === undefined || storage.reason === 'NodeGone' ? goneSeconds * 1000 : 0
}

function agentVerdict(
  { nodeName, pods, record, agentMissingForMs }: NodeObserved,
  node: ClusterNode,
  grace: GraceTimes,
): NodeVerdict {
  if (pods.some(isReady)) return settled('ready', 'AgentReady', `the agent of node ${nodeName} is ready`)
  const [pod] = pods
  const recorded = record?.status?.nodeUID
  const recreated = recorded !== undefined && recorded !== node.metadata.uid
  if (pod !== undefined) {
    const message = `Pod ${pod.metadata.namespace}/${pod.metadata.name} is not ready`
    return settled('notReady', recreated ? 'NodeRecreated' : 'AgentNotReady', message)
  }
  const message = `node ${nodeName} has no Pod of the agent`
  const leftMs = grace.agentGraceMs - agentMissingForMs
  const verdict = { state: 'agentMissing', reason: recreated ? 'NodeRecreated' : 'AgentMissing', message } as const
  return leftMs <= 0 ? { ...verdict, isSettled: true } : { ...verdict, isSettled: false, lookAgainMs: leftMs }
}

function isReady({ metadata, status }: AgentPod): boolean {
  if (metadata.deletionTimestamp !== undefined) return false
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

function settled(state: NodeState, reason: Reason, message: string): NodeVerdict {
  return { state, reason, message, isSettled: true }
}
