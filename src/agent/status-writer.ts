// Writes the status of VMSnapshots by server-side apply: the first change after a quiet time at once, then, while a directory keeps
// changing, no more often than it is of use to anybody.
import { STATUS_FIELD_MANAGER } from '../api/group.ts'
import { type VMSnapshot, vmSnapshotKind } from '../api/vmsnapshot.ts'
import type { Logger } from '../kube/log.ts'
import { applyBody, semanticallyEqual, stampTransitions, type UnreadableObject } from '../kube/object.ts'
import type { Client } from '../kube/resource.ts'
import type { DeniableWrites } from './deniable-writes.ts'
import type { StatusDraft } from './status.ts'
import { unreadableStatusOf } from './unreadable.ts'

/** While a directory keeps changing its details are written at most this often. */
const detailIntervalMs = 5_000
/** ... and a condition that flips with it, at most this often. */
const conditionIntervalMs = 1_000

export class StatusWriter {
  readonly #client: Client<VMSnapshot>
  readonly #writes: DeniableWrites
  readonly #onWritten: (object: VMSnapshot, status: StatusDraft) => void
  /** by uid, on the monotonic clock */
  readonly #writtenAtMs = new Map<string, number>()
  /** by uid, the resourceVersion that was written over because a part of it could not be read */
  readonly #repairedVersions = new Map<string, string>()

  /** `onWritten` gets the object with its status from before. */
  constructor(
    client: Client<VMSnapshot>,
    writes: DeniableWrites,
    onWritten: (object: VMSnapshot, status: StatusDraft) => void,
  ) {
    this.#client = client
    this.#writes = writes
    this.#onWritten = onWritten
  }

  /** Milliseconds until it may be written, where it was written just now; undefined once it is written or denied. Throws APIError. */
  async writeUnlessRecent(
    key: string,
    object: VMSnapshot,
    status: StatusDraft,
    log: Logger,
  ): Promise<number | undefined> {
    if (this.#isRepaired(object, status)) return undefined
    const intervalMs = summaryOf(object.status) === summaryOf(status) ? detailIntervalMs : conditionIntervalMs
    const waitMs = (this.#writtenAtMs.get(object.metadata.uid) ?? -intervalMs) + intervalMs - performance.now()
    if (waitMs > 0) return Math.ceil(waitMs)
    if (!(await this.write(key, object, status, log))) return undefined
    const { uid, resourceVersion } = object.metadata
    if (object.unparsed !== undefined) this.#repairedVersions.set(uid, resourceVersion)
    this.#writtenAtMs.set(uid, performance.now())
    return undefined
  }

  /** What could not be read in a status that says the same otherwise is written over once a version. */
  #isRepaired({ metadata, status: before }: VMSnapshot, status: StatusDraft): boolean {
    if (!semanticallyEqual(status, before ?? {})) return false
    return this.#repairedVersions.get(metadata.uid) === metadata.resourceVersion
  }

  /** False where the API server denies it. Fails with a Conflict when the object changed since it was read. Throws APIError. */
  async write(key: string, object: VMSnapshot, status: StatusDraft, log: Logger): Promise<boolean> {
    const body = applyBody(object, { status: stampTransitions(status, object.status, new Date()) })
    const options = { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' } as const
    const apply = () => this.#client.apply(key, body, options)
    const { kind } = await this.#writes.attempt('status', key, object, log, apply)
    if (kind !== 'done') return false
    this.#onWritten(object, status)
    if (summaryOf(object.status) !== summaryOf(status)) log.info({ vmSnapshot: key, ...verdictsOf(status) }, 'status')
    return true
  }

  /** Of an object that cannot be read: once a version, and only what differs. Throws APIError. */
  async writeUnreadable(key: string, object: UnreadableObject, log: Logger): Promise<void> {
    const { status: before, draft, isWritable } = unreadableStatusOf(object)
    const { uid, resourceVersion } = object.metadata
    if (!isWritable || this.#repairedVersions.get(uid) === resourceVersion) return
    if (!semanticallyEqual(draft.conditions, before?.conditions)) {
      const body = applyBody({ ...vmSnapshotKind, ...object }, { status: stampTransitions(draft, before, new Date()) })
      await this.#client.apply(key, body, { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' })
      log.info({ vmSnapshot: key, ...verdictsOf(draft) }, 'status')
    }
    this.#repairedVersions.set(uid, resourceVersion)
  }

  forget(uid: string): void {
    this.#writtenAtMs.delete(uid)
    this.#repairedVersions.delete(uid)
  }
}

type Conditions = { readonly conditions?: StatusDraft['conditions'] | undefined }

/** Status and reason of each condition: what people act on. */
function summaryOf(status: Conditions | undefined): string {
  return status?.conditions?.map(({ type, status: verdict, reason }) => `${type}=${verdict} ${reason}`).join() ?? ''
}

/** For the log: each condition by its type. */
function verdictsOf({ conditions }: StatusDraft): Readonly<Record<string, string>> {
  return Object.fromEntries(
    conditions.map(({ type, status, reason, message }) => [type, `${status} ${reason}: ${message}`]),
  )
}
