// Builders of what the controller looks at: sets, their children, nodes, agents and records. Chained words, everything else plausible.
import type { Condition } from '../../src/api/condition.ts'
import type { VMSnapshotNode } from '../../src/api/vmsnapshotnode.ts'
import type { VMSnapshotSet } from '../../src/api/vmsnapshotset.ts'
import { childName, setLabelValue } from '../../src/controller/child.ts'
import type { AgentPod, ClusterNode, WatchedSnapshot } from '../../src/controller/watched.ts'

const createdAt = '2026-01-01T00:00:00Z'
const deletedAt = '2026-01-02T00:00:00Z'
let made = 0

function meta(name: string) {
  made++
  return { name, uid: `uid-${String(made).padStart(4, '0')}`, resourceVersion: '1', creationTimestamp: createdAt }
}

export class SetBuilder {
  readonly #set: VMSnapshotSet

  constructor(set: VMSnapshotSet) {
    this.#set = set
  }

  #withMetadata(change: Partial<VMSnapshotSet['metadata']>): SetBuilder {
    return new SetBuilder({ ...this.#set, metadata: { ...this.#set.metadata, ...change } })
  }

  selecting(nodeSelector: VMSnapshotSet['spec']['nodeSelector']): SetBuilder {
    return new SetBuilder({ ...this.#set, spec: { ...this.#set.spec, nodeSelector } })
  }

  retaining(): SetBuilder {
    const template = { ...this.#set.spec.template, deletionPolicy: 'Retain' as const }
    return new SetBuilder({ ...this.#set, spec: { ...this.#set.spec, template } })
  }

  withFinalizers(...finalizers: readonly string[]): SetBuilder {
    return this.#withMetadata({ finalizers: [...finalizers] })
  }

  deleting(): SetBuilder {
    return this.#withMetadata({ deletionTimestamp: deletedAt })
  }

  orphaning(): SetBuilder {
    return this.deleting().withFinalizers('vmsnapshot.io/copies', 'orphan')
  }

  build(): VMSnapshotSet {
    return this.#set
  }
}

/** Already under its finalizer. */
export function aVMSnapshotSet(name = 'set'): SetBuilder {
  return new SetBuilder({
    apiVersion: 'vmsnapshot.io/v1alpha1',
    kind: 'VMSnapshotSet',
    metadata: { ...meta(name), namespace: 'default', generation: 1, finalizers: ['vmsnapshot.io/copies'] },
    spec: { nodeSelector: {}, template: { snapshotName: 'snap', deletionPolicy: 'Delete' } },
  })
}

export class ChildBuilder {
  readonly #child: WatchedSnapshot

  constructor(child: WatchedSnapshot) {
    this.#child = child
  }

  #with(change: Partial<WatchedSnapshot>): ChildBuilder {
    return new ChildBuilder({ ...this.#child, ...change })
  }

  #withMetadata(change: Partial<WatchedSnapshot['metadata']>): ChildBuilder {
    return this.#with({ metadata: { ...this.#child.metadata, ...change } })
  }

  retaining(): ChildBuilder {
    return this.#with({ spec: { ...this.#child.spec, deletionPolicy: 'Retain' } })
  }

  /** A person has written its policy. */
  braked(): ChildBuilder {
    return this.retaining().#with({ policyIsOurs: false })
  }

  writtenByPerson(): ChildBuilder {
    return this.#with({ policyIsOurs: false })
  }

  claiming(snapshotName: string): ChildBuilder {
    return this.#with({ spec: { ...this.#child.spec, snapshotName } })
  }

  onNode(nodeName: string): ChildBuilder {
    return this.#with({ spec: { ...this.#child.spec, nodeName } })
  }

  deleting(): ChildBuilder {
    return this.#withMetadata({ deletionTimestamp: deletedAt })
  }

  unheld(): ChildBuilder {
    return this.#withMetadata({ finalizers: [] })
  }

  orphaned(): ChildBuilder {
    return this.#withMetadata({ ownerReferences: undefined })
  }

  unlabelled(): ChildBuilder {
    return this.#withMetadata({ labels: undefined })
  }

  ownedBy(...ownerReferences: NonNullable<WatchedSnapshot['metadata']['ownerReferences']>): ChildBuilder {
    return this.#withMetadata({ ownerReferences })
  }

  withConditions(...conditions: readonly Condition[]): ChildBuilder {
    return this.withStatus({ conditions: [...conditions] })
  }

  withStatus(status: NonNullable<WatchedSnapshot['status']>): ChildBuilder {
    return this.#with({ status: { ...this.#child.status, ...status } })
  }

  ready(): ChildBuilder {
    return this.withStatus({
      conditions: [aCondition('Exists', 'True', 'AllFilesPresent'), aCondition('Ready', 'True', 'Ready')],
      storageID: 'disk-1',
      snapshot: { size: '1.2Gi' },
    })
  }

  build(): WatchedSnapshot {
    return this.#child
  }
}

/** The copy of `set` on a node, as the controller made it and the agent took it over. */
export function aChild(set: VMSnapshotSet, nodeName = 'node-1'): ChildBuilder {
  const { name, uid, namespace } = set.metadata
  return new ChildBuilder({
    apiVersion: 'vmsnapshot.io/v1alpha1',
    kind: 'VMSnapshot',
    metadata: {
      ...meta(childName(name, nodeName)),
      namespace,
      generation: 1,
      finalizers: ['vmsnapshot.io/directory'],
      labels: { 'vmsnapshot.io/set': setLabelValue(name) },
      ownerReferences: [ownerOf(name, uid)],
    },
    spec: { nodeName, ...set.spec.template, deletionPolicy: 'Delete' },
    policyIsOurs: true,
  })
}

export function ownerOf(name: string, uid: string) {
  const kind = 'VMSnapshotSet'
  return { apiVersion: 'vmsnapshot.io/v1alpha1', kind, name, uid, controller: true, blockOwnerDeletion: true }
}

export function aCondition(type: string, status: Condition['status'], reason: string, message = ''): Condition {
  return { type, status, reason, message, lastTransitionTime: createdAt }
}

export function aNode(name = 'node-1', { labels = {}, taints = [] as readonly string[] } = {}): ClusterNode {
  return { metadata: { ...meta(name), labels }, spec: { taints: taints.map((key) => ({ key })) } }
}

export function anAgentPod(nodeName = 'node-1', isReady = true): AgentPod {
  return {
    metadata: { ...meta(`agent-${nodeName}`), namespace: 'vmsnapshot-system' },
    spec: { nodeName },
    status: { conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
  }
}

export function aRecord(name = 'node-1', status: VMSnapshotNode['status'] = {}): VMSnapshotNode {
  return {
    apiVersion: 'vmsnapshot.io/v1alpha1',
    kind: 'VMSnapshotNode',
    metadata: { ...meta(name), generation: 1 },
    status: { baseDirectory: '/srv/snapshots', storageID: 'disk-1', ...status },
  }
}
