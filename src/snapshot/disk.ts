// The one door from the asynchronous world to the disk: every call answers within its deadline with a value, also when the file system hangs.
// The steps of a removal are separate calls, because between them the caller looks at its store again.
import type { Identity, Problem, Report } from './report.ts'

/** State of the base directory. `storageID` is the UUID of its marker file. */
export type Storage =
  | {
      readonly kind: 'ready'
      readonly storageID: string
      readonly fileSystemType: string
      readonly isMountPoint: boolean
      /** where the base directory is, if it was given through a symbolic link */
      readonly realPath?: string
      readonly totalBytes: number
      readonly availableBytes: number
      readonly totalInodes: number
      readonly availableInodes: number
    }
  /** readable and without a marker: the caller decides whether it may make one */
  | { readonly kind: 'unmarked'; readonly isMountPoint: boolean }
  | { readonly kind: 'unknown'; readonly problem: Problem }

/** Names the removal of one object: its uid names the trash entry. */
export interface RemovalTarget {
  readonly uid: string
  readonly name: string
  /** the base directory must carry this marker, or nothing happens */
  readonly storageID: string
  /** what the first barrier recorded, undefined: that there was none; nothing else is ever removed for this uid */
  readonly identity: Identity | undefined
}

/** Whether this process may rename anything below the base directory. */
export type Lock =
  | { readonly kind: 'mine' }
  /** `owner`: what the process that has it calls itself; undefined: it did not say so in time */
  | { readonly kind: 'held'; readonly owner: string | undefined }
  /** the file system cannot carry it at present, or an earlier call of this process hangs and may still act */
  | Failed

/** What blocks a removal on the disk side (rule 6). */
export type DiskBlock = {
  readonly kind: 'blocked'
  readonly code:
    | 'NotASnapshot'
    | 'SnapshotsBelow'
    | 'BaseTemplateInUse'
    | 'BaseTemplateUnresolved'
    | 'InUse'
    | 'NameTaken'
    | 'IdentityChanged'
    | 'NotADirectory'
    | 'MountedBelow'
    | 'SubvolumeBelow'
    | 'SubvolumeReadOnly'
    | 'OverlayLowerLayer'
    | 'ProjectIDDiffers'
    | 'IdentityUnclear'
    | 'FilesReappear'
    | 'TrashNotInOrder'
  readonly message: string
}

export type Failed = { readonly kind: 'unknown'; readonly problem: Problem }

/** What went so far: blocks times 512 of files whose last link went, and how many entries. */
export interface PurgeProgress {
  readonly bytes: number
  readonly files: number
}

export interface PurgeOptions {
  /** after each slice of about 200 ms */
  readonly onProgress?: (progress: PurgeProgress) => void
  readonly signal?: AbortSignal
}

export type Recovered = {
  readonly kind: 'recovered'
  /** uids of `.dead` entries whose removal was finished */
  readonly finished: readonly string[]
  /** names that were renamed back */
  readonly restored: readonly string[]
  /** trash that could not go back because its name is taken; `name` is empty where it is not known */
  readonly nameTaken: readonly { readonly uid: string; readonly name: string }[]
  /** what else is not in order there; not set where everything is */
  readonly leftovers?: readonly Leftover[]
}

/** An entry of `.vmsnapshot` that stays until a person acts. It blocks the objects that its name is related to, and nothing else. */
export interface Leftover {
  /** `failed`: its removal or its way back fails; `unnamed`: a staged directory that is kept, its name is not known; `foreign`: nothing of this program */
  readonly kind: 'failed' | 'unnamed' | 'foreign'
  /** below the base directory */
  readonly path: string
  /** what is wrong, without the path */
  readonly message: string
  /** of the VMSnapshot that it was removed for */
  readonly uid?: string
  /** of the directory, where it is known */
  readonly name?: string
  readonly errno?: string
}

export interface Total {
  readonly directories: number
  /** blocks times 512 */
  readonly bytes: number
}

export interface UnclaimedDirectory {
  readonly name: string
  readonly allocatedBytes: number
  readonly format: 'Cow' | 'Full' | undefined
  /** since 1970 */
  readonly firstSeenAtMs: number
}

export type Inventory = {
  readonly kind: 'inventory'
  readonly claimed: Total
  readonly unclaimed: Total
  /** removals that have begun and are not finished; `oldestAtMs`: when the first of them began, since 1970 */
  readonly trash: Total & { readonly oldestAtMs: number | undefined }
  /** of the unclaimed */
  readonly largest: readonly UnclaimedDirectory[]
  /** in none of the figures; `first`: names and reasons, a few */
  readonly unreadable: { readonly directories: number; readonly first: readonly string[] }
}

export interface InventoryRequest {
  /** names of the directories that somebody claims */
  readonly claimed: readonly string[]
  /** what a process before this one knew of the unclaimed */
  readonly seen: readonly Pick<UnclaimedDirectory, 'name' | 'firstSeenAtMs'>[]
  /** how many of the unclaimed, and of the unreadable, are named */
  readonly limit: number
}

/**
 * Every method resolves; it never rejects for a state of the disk. A call past its deadline resolves to a `TimedOut` problem.
 * Order of a removal: lock -> inspect -> (barrier) -> checkRemovable -> stage -> (store looked at again) -> bury or unstage -> purge -> prove.
 */
export interface Disk {
  readonly baseDir: string
  storage(): Promise<Storage>
  /** makes the marker with a fresh UUID, O_EXCL; answers what stands there afterwards */
  mark(): Promise<Storage>
  /** replaces the marker `storageID` by one with a fresh UUID, under the lock; answers what is there afterwards */
  replaceMarker(storageID: string): Promise<Storage>
  /** takes the lock, where it is not taken yet; without it nothing below is renamed, and nothing proven gone */
  lock(storageID: string): Promise<Lock>
  inspect(name: string, storageID: string): Promise<Report>
  /** rule 6, before anything is renamed: is this a snapshot directory that may go? */
  checkRemovable(target: RemovalTarget): Promise<{ readonly kind: 'removable' } | DiskBlock | Failed>
  /** renames the directory into the trash and looks again; on any difference it is renamed back. `notAfter`: process.hrtime.bigint() */
  stage(
    target: RemovalTarget,
    notAfter: bigint,
  ): Promise<
    { readonly kind: 'staged' } | { readonly kind: 'absent' } | { readonly kind: 'expired' } | DiskBlock | Failed
  >
  /** undoes stage */
  unstage(target: RemovalTarget): Promise<{ readonly kind: 'restored' } | DiskBlock | Failed>
  /** the point of no return: renames `<uid>` to `<uid>.dead` */
  bury(target: RemovalTarget): Promise<{ readonly kind: 'buried' } | Failed>
  /** removes `<uid>.dead` by a descriptor walk; idempotent. It ends early, to be gone on with later, when `signal` is aborted */
  purge(
    target: RemovalTarget,
    options?: PurgeOptions,
  ): Promise<(PurgeProgress & { kind: 'removed' | 'stopped' }) | DiskBlock | Failed>
  /** neither the name nor the trash holds the recorded directory, and the lock is held */
  prove(
    target: RemovalTarget,
  ): Promise<{ readonly kind: 'gone' } | { readonly kind: 'present'; readonly where: string } | DiskBlock | Failed>
  /** start-up rule: finish `.dead`, rename everything else in the trash back. Also after another file system appeared */
  recover(storageID: string): Promise<Recovered | Failed>
  /** everything that lies there; in slices, so that other calls are answered meanwhile. It ends early when `signal` is aborted */
  inventory(
    storageID: string,
    request: InventoryRequest,
    signal?: AbortSignal,
  ): Promise<Inventory | { readonly kind: 'stopped' } | Failed>
  /** hints about these names from now on, until the next call */
  watch(names: readonly string[]): void
  /** `hung`: a system call does not come back; only SIGKILL ends the process then */
  close(): Promise<'closed' | 'hung'>
}
