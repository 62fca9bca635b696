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
  /** how long this process has known that there is no Pod */
  readonly agentMissingForMs: number
}

export interface GraceTimes {
  readonly nodeGraceMs: number
  readonly agentGraceMs: number
}

export interface NodeVerdict {
  readonly state: NodeState
  readonly reason: Reason
  readonly message: string
  /** it has lasted long enough to be said of the node's objects */
  readonly isSettled: boolean
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

function absentVerdict({ nodeName, absentForMs }: NodeObserved, { nodeGraceMs }: GraceTimes): NodeVerdict {
  const leftMs = nodeGraceMs - absentForMs
  if (leftMs <= 0) return settled('gone', 'NodeGone', `node ${nodeName} was deleted and has not come back`)
  const message = `there is no node ${nodeName}; what is on it is given up unless it comes back within ${nodeGraceMs / 1000} s`
  return { state: 'absent', reason: 'NodeAbsent', message, isSettled: false, lookAgainMs: leftMs }
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
