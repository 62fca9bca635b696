// Everything that a decision about one VMSnapshot needs to know, gathered fresh: store, disk and, where a removal depends on it, live reads.
import { GROUP, SET_FINALIZER } from '../api/group.ts'
import { unparsedAt } from '../api/layers.ts'
import type { OwnerReference } from '../api/metadata.ts'
import type { VMSnapshot } from '../api/vmsnapshot.ts'
import type { VMSnapshotSet } from '../api/vmsnapshotset.ts'
import type { APIError } from '../kube/connection.ts'
import type { Store } from '../kube/informer.ts'
import type { UnreadableObject } from '../kube/object.ts'
import type { Disk } from '../snapshot/disk.ts'
import type { Report } from '../snapshot/report.ts'
import type { Attempts } from './attempts.ts'
import { unreadableClaimOf } from './claims.ts'
import { type Definitions, foreignFinalizers, isHeld, type Observed, type Owner, recordedIdentity } from './decide.ts'
import type { Look } from './status.ts'
import { belongingOf, elsewhere, type StorageVerdict } from './storage.ts'

/** Live reads of what can forbid a removal: no store, because a stale answer would let a directory go. */
export interface ClusterReads {
  /** throws APIError */
  set(namespace: string, name: string): Promise<VMSnapshotSet>
  /** never throws */
  definitions(names: readonly string[]): Promise<Definitions>
}

export interface ObserveOptions {
  readonly store: Store<VMSnapshot>
  readonly disk: Disk
  readonly reads: ClusterReads
  readonly storage: () => StorageVerdict
  readonly allowRemoval: boolean
  /** with the time that the look waited for its turn */
  readonly onInspected: (report: Report, durationMs: number) => void
}

export class Observer {
  readonly #options: ObserveOptions

  constructor(options: ObserveOptions) {
    this.#options = options
  }

  async observe(object: VMSnapshot, attempts: Pick<Attempts, 'hasPassed' | 'refusalOf' | 'goneOf'>): Promise<Observed> {
    const barrierPassed = attempts.hasPassed(object)
    const refusal = attempts.refusalOf(object.metadata.uid)
    const { allowRemoval } = this.#options
    const storage = this.#options.storage()
    const deleting = object.metadata.deletionTimestamp !== undefined
    const [owner, definitions] = await Promise.all([
      deleting || !isHeld(object) ? this.#owner(object, deleting) : unowned,
      deleting ? this.#definitions(object) : stable,
    ])
    const report = await this.#report(object, storage)
    const seen: Observed = {
      object,
      claims: this.#claimsOf(object),
      storage,
      report,
      owner,
      definitions,
      diskBlock: undefined,
      refusal,
      barrierPassed,
      provenGone: attempts.goneOf(object),
      allowRemoval,
      unreadableClaim: this.#unreadableClaimOf(object),
    }
    return deleting ? { ...seen, diskBlock: await this.#diskBlock(seen) } : seen
  }

  /** What costs neither a request nor a look at the disk, as it is now. The disk said nothing against it then, and looks again itself. */
  renewed(observed: Observed, object: VMSnapshot): Observed {
    const storage = this.#options.storage()
    const unreadableClaim = this.#unreadableClaimOf(object)
    return { ...observed, object, storage, claims: this.#claimsOf(object), unreadableClaim, diskBlock: undefined }
  }

  /** After an attempt to remove it: the directory may be in the trash now, in part or whole. */
  async inspectedAgain(observed: Observed): Promise<Observed> {
    return { ...observed, report: await this.#report(observed.object, this.#options.storage()) }
  }

  /** The other objects whose directory is the same one or lies below it, as the store has them now. */
  #claimsOf(object: VMSnapshot): readonly VMSnapshot[] {
    const { store } = this.#options
    const name = object.spec.snapshotName
    const same = store.byIndex('directory', name).filter((other) => other.metadata.uid !== object.metadata.uid)
    return [...same, ...store.byIndex('ancestor', name)]
  }

  #unreadableClaimOf({ spec }: VMSnapshot): UnreadableObject | undefined {
    return unreadableClaimOf(this.#options.store.unreadable, spec.snapshotName)
  }

  async #report(object: VMSnapshot, storage: StorageVerdict): Promise<Look> {
    const name = object.spec.snapshotName
    const path = `${this.#options.disk.baseDir}/${name}`
    if (storage.kind !== 'ready') return { kind: 'unseen', path, reason: storage.reason, message: storage.message }
    const unread = unparsedAt(object, 'status.storageID')
    if (unread !== undefined) {
      const message = `${unread.where} cannot be read (${unread.why}): it is not known which disk this was seen on`
      return { kind: 'unseen', path, reason: 'ObjectUnreadable', message }
    }
    if (belongingOf(object, storage) === 'here') return this.#inspect(name, storage.storageID)
    return { kind: 'unseen', path, reason: 'StorageChanged', message: elsewhere(object, storage) }
  }

  async #inspect(name: string, storageID: string): Promise<Report> {
    const startedAtMs = performance.now()
    const report = await this.#options.disk.inspect(name, storageID)
    this.#options.onInspected(report, performance.now() - startedAtMs)
    return report
  }

  async #diskBlock(seen: Observed): Promise<Observed['diskBlock']> {
    const { object, storage, report } = seen
    if (storage.kind !== 'ready' || report.kind === 'unseen' || report.kind === 'unknown') return undefined
    const identity = recordedIdentity(seen)
    const target = { uid: object.metadata.uid, name: object.spec.snapshotName, storageID: storage.storageID, identity }
    const answer = await this.#options.disk.checkRemovable(target)
    return answer.kind === 'removable' ? undefined : answer
  }

  /** The controlling set decides whether the object is claimed. Of a deletion every owning set is asked: the garbage collector goes by all of them. */
  async #owner({ metadata }: VMSnapshot, deleting: boolean): Promise<Owner> {
    const { namespace, ownerReferences = [] } = metadata
    const sets = ownerReferences.filter(
      (owner) => (deleting || owner.controller) && owner.kind === 'VMSnapshotSet' && isOurs(owner.apiVersion),
    )
    return strictest(await Promise.all(sets.map((reference) => this.#set(namespace, reference))))
  }

  async #set(namespace: string, { name, uid }: OwnerReference): Promise<Owner> {
    try {
      const set = await this.#options.reads.set(namespace, name)
      if (set.metadata.uid !== uid) return { kind: 'gone' }
      return {
        kind: 'standing',
        deleting: set.metadata.deletionTimestamp !== undefined,
        retains: set.spec.template.deletionPolicy === 'Retain',
        foreignFinalizers: foreignFinalizers(set, SET_FINALIZER),
      }
    } catch (error) {
      return isNotFound(error) ? { kind: 'gone' } : { kind: 'unknown', message: messageOf(error) }
    }
  }

  #definitions({ metadata }: VMSnapshot): Promise<Definitions> {
    const owned =
      metadata.ownerReferences?.some((owner) => owner.kind === 'VMSnapshotSet' && isOurs(owner.apiVersion)) ?? false
    return this.#options.reads.definitions([`vmsnapshots.${GROUP}`, ...(owned ? [`vmsnapshotsets.${GROUP}`] : [])])
  }
}

/** One set that is gone or retains keeps the directory, whatever the others say; then one that is not known or holds it. */
function strictest(owners: readonly Owner[]): Owner {
  const first = (isIt: (owner: Owner) => boolean) => owners.find(isIt)
  return (
    first((owner) => owner.kind === 'gone' || (owner.kind === 'standing' && owner.retains)) ??
    first(({ kind }) => kind === 'unknown') ??
    first((owner) => owner.kind === 'standing' && owner.foreignFinalizers.length > 0) ??
    owners[0] ??
    unowned
  )
}

const stable: Definitions = { kind: 'stable' }
const unowned: Owner = { kind: 'none' }

function isOurs(apiVersion: string): boolean {
  return apiVersion.startsWith(`${GROUP}/`)
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && (error as Partial<APIError>).kind === 'NotFound'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
