// Tells people what happened to the snapshots of this node, beside the status that says how they are.
// What became of a directory is told of the VMSnapshotNode: its object is going, and a namespace that is being deleted takes no events.
import { formatBytes } from '../api/quantity.ts'
import { type VMSnapshot, vmSnapshotKind } from '../api/vmsnapshot.ts'
import { type VMSnapshotNode, vmSnapshotNodeKind } from '../api/vmsnapshotnode.ts'
import type { EventFacts, EventSink } from '../kube/events.ts'
import { referenceTo } from '../kube/object.ts'
import { nameOf } from './claims.ts'
import { type StatusSeen, storageTransitionsOf, transitionsOf } from './transitions.ts'

export class AgentEvents {
  readonly #sink: EventSink
  readonly #node: () => VMSnapshotNode | undefined

  /** `node`: undefined while this node has no VMSnapshotNode yet */
  constructor(sink: EventSink, node: () => VMSnapshotNode | undefined) {
    this.#sink = sink
    this.#node = node
  }

  /** `object` has its status from before. */
  statusWritten(object: VMSnapshot, status: StatusSeen): void {
    const regarding = referenceTo(vmSnapshotKind, object)
    for (const told of transitionsOf(object.status, status)) this.#sink.record({ regarding, ...told })
  }

  /** `node` has its status from before. */
  storageWritten(node: VMSnapshotNode, status: StatusSeen): void {
    const regarding = referenceTo(vmSnapshotNodeKind, node)
    for (const told of storageTransitionsOf(node.status, status)) this.#sink.record({ regarding, ...told })
  }

  /** `what`: what cannot be written; `message`: the server's words */
  writeDenied(object: VMSnapshot, what: string, message: string): void {
    const regarding = referenceTo(vmSnapshotKind, object)
    this.#sink.record({
      regarding,
      type: 'Warning',
      reason: 'WriteDenied',
      action: 'Write',
      note: `${what}: ${message}`,
    })
  }

  /** The VMSnapshotNode itself. */
  recordDenied(node: VMSnapshotNode, message: string): void {
    const regarding = referenceTo(vmSnapshotNodeKind, node)
    const note = `the status cannot be written: ${message}`
    this.#sink.record({ regarding, type: 'Warning', reason: 'WriteDenied', action: 'Write', note })
  }

  removed(object: VMSnapshot, path: string, bytes: number): void {
    const note = `removed ${path} (${formatBytes(bytes)}) with ${nameOf(object)}`
    this.#recordOfNode(object, { type: 'Normal', reason: 'Removed', action: 'Remove', note })
  }

  retained(object: VMSnapshot, path: string): void {
    const note = `${path} stays as it is, ${nameOf(object)} is deleted`
    this.#recordOfNode(object, { type: 'Normal', reason: 'Retained', action: 'Retain', note })
  }

  #recordOfNode(object: VMSnapshot, facts: Omit<EventFacts, 'regarding' | 'related'>): void {
    const node = this.#node()
    if (node === undefined) return
    this.#sink.record({
      regarding: referenceTo(vmSnapshotNodeKind, node),
      related: referenceTo(vmSnapshotKind, object),
      ...facts,
    })
  }
}
