// Builders of objects for pure tests: chained words, everything else plausible.
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'

let made = 0

export class VMSnapshotBuilder {
  readonly #object: VMSnapshot

  constructor(name: string, object?: VMSnapshot) {
    made++
    this.#object = object ?? {
      apiVersion: 'vmsnapshot.io/v1alpha1',
      kind: 'VMSnapshot',
      metadata: {
        name,
        namespace: 'default',
        uid: `uid-${String(made).padStart(4, '0')}`,
        resourceVersion: '1',
        generation: 1,
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: { nodeName: 'node-1', snapshotName: 'snap', deletionPolicy: 'Delete' },
    }
  }

  #with(change: Partial<VMSnapshot>): VMSnapshotBuilder {
    return new VMSnapshotBuilder('', { ...this.#object, ...change })
  }

  #withMetadata(change: Partial<VMSnapshot['metadata']>): VMSnapshotBuilder {
    return this.#with({ metadata: { ...this.#object.metadata, ...change } })
  }

  claiming(snapshotName: string): VMSnapshotBuilder {
    return this.#with({ spec: { ...this.#object.spec, snapshotName } })
  }

  retaining(): VMSnapshotBuilder {
    return this.#with({ spec: { ...this.#object.spec, deletionPolicy: 'Retain' } })
  }

  held(...foreign: readonly string[]): VMSnapshotBuilder {
    return this.#withMetadata({ finalizers: [...foreign, 'vmsnapshot.io/directory'] })
  }

  withFinalizers(...finalizers: readonly string[]): VMSnapshotBuilder {
    return this.#withMetadata({ finalizers: [...finalizers] })
  }

  deleting(): VMSnapshotBuilder {
    return this.#withMetadata({ deletionTimestamp: '2026-01-02T00:00:00Z' })
  }

  createdAt(creationTimestamp: string): VMSnapshotBuilder {
    return this.#withMetadata({ creationTimestamp })
  }

  withStatus(status: VMSnapshot['status']): VMSnapshotBuilder {
    return this.#with({ status })
  }

  seenOn(storageID: string): VMSnapshotBuilder {
    return this.withStatus({ ...this.#object.status, storageID })
  }

  recorded(inode: string | undefined, bornAt: string | undefined): VMSnapshotBuilder {
    const identity = inode === undefined || bornAt === undefined ? {} : { inode, bornAt }
    const removal = { token: 'token-1', startedAt: '2026-01-02T00:00:00Z', bytesRemoved: 0, ...identity }
    return this.withStatus({ ...this.#object.status, removal })
  }

  build(): VMSnapshot {
    return this.#object
  }
}

export function aVMSnapshot(name = 'snap'): VMSnapshotBuilder {
  return new VMSnapshotBuilder(name)
}
