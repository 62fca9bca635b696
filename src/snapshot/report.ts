// What the disk room says of one snapshot directory: plain data that crosses a worker thread and becomes status or `inspect` output.
// A report is total: every state of the disk is one of these values, never an exception.

import type { FindingCode } from './findings.ts'
import type { VMStateSummary } from './vmstate.ts'

/** Identity of a directory that a later removal must meet again. Decimal text, so that it survives JSON. */
export interface Identity {
  /** inode number */
  readonly inode: string
  /** birth time in nanoseconds since the epoch; '0' where the file system keeps none */
  readonly bornAt: string
  /**
   * file handle, `<type>:<bytes>` in hexadecimal; not set where the file system gives inode and birth time to one directory alone,
   * empty where it is needed and could not be read
   */
  readonly handle?: string
}

/** Why a verdict is Unknown. Never a statement about the snapshot, always about the way to it. */
export type ProblemCode =
  | 'BaseDirectoryMissing'
  | 'BaseDirectoryNotADirectory'
  | 'NotAMountPoint'
  | 'MarkerMissing'
  | 'MarkerInvalid'
  | 'StorageChanged'
  | 'PermissionDenied'
  | 'IOError'
  | 'TimedOut'
  | 'ChangedWhileReading'
  | 'TooManyEntries'
  | 'TrashNotInOrder'
  | 'LockHeld'

export interface Problem {
  readonly code: ProblemCode
  /** one sentence with the path and, where the kernel gave one, the errno name */
  readonly message: string
  readonly errno?: string
}

export type FileType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'device' | 'unknown'

/** One diff file, as the reference's ListDiffFiles resolves it. Sizes in bytes. */
export interface DiffFile {
  /** build ID in the 8-4-4-4-12 form, lower case */
  readonly buildID: string
  /** file name inside the snapshot directory: `memfile.<buildID>` or the legacy `memfile` */
  readonly file: string
  readonly allocatedBytes: number
  readonly apparentBytes: number
  /** bytes of guest memory that the header maps to this build */
  readonly mappedBytes: bigint
}

/** Result of ListDiffFiles: all of them, or the first build whose file is not there, with the reference's message. */
export type DiffFiles =
  | { readonly ok: true; readonly files: readonly DiffFile[] }
  | { readonly ok: false; readonly missingBuildID: string; readonly message: string }

/** Summary of a decoded memfile.header. Numbers are u64, so bigint. */
export interface HeaderSummary {
  readonly version: bigint
  readonly generation: bigint
  readonly buildID: string
  readonly baseBuildID: string
  readonly blockSizeBytes: bigint
  readonly sizeBytes: bigint
  readonly mappings: number
  readonly zeroBytes: bigint
}

/** `missing` is no error of the file's content: it is not there. */
export type FileVerdict<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'missing' }
  | { readonly kind: 'damaged'; readonly code: string; readonly message: string }
  | { readonly kind: 'unreadable'; readonly problem: Problem }

export interface TemplateFile {
  readonly sizeBytes: number
  /** mtime in nanoseconds since 1970 */
  readonly modifiedAtNs: string
  /** ctime in milliseconds since 1970 */
  readonly changedAtMs: number
  /** whether it lies on the same device as the directory of its user, so that one clock stamps both */
  readonly isOneDevice: boolean
}

export interface RootfsSummary {
  /** `base_template` of rootfs.meta, as written */
  readonly baseTemplate: string
  /** undefined: this process does not see where that path leads */
  readonly baseTemplatePresent: boolean | undefined
  /** where it is present */
  readonly baseTemplateFile?: TemplateFile
  /** why that path, which lies below the base directory, cannot be resolved */
  readonly baseTemplateProblem?: Problem
}

/** Which rootfs.cow it is. Decimal text. */
export interface CowFile {
  readonly inode: string
  /** birth time in nanoseconds since 1970; '0' where the file system keeps none */
  readonly bornAt: string
  /** mtime in nanoseconds since 1970 */
  readonly modifiedAt: string
}

/** A fact that makes a directory not restorable (`error`), not yet (`pending`), undecidable (`unknown`) or merely odd (`warning`). */
export interface Finding {
  readonly code: FindingCode
  readonly severity: 'error' | 'pending' | 'unknown' | 'warning'
  readonly message: string
}

export interface DirectoryReport {
  readonly kind: 'directory'
  readonly name: string
  /** `<baseDir>/<name>` as the node sees it */
  readonly path: string
  readonly identity: Identity
  /** the reference's Exists, IsTemplate, HasCow */
  readonly exists: boolean
  readonly template: boolean
  readonly cow: boolean
  /** `Cow` = rootfs.cow + rootfs.meta, else `Full` = rootfs.ext4 */
  readonly format: 'Cow' | 'Full' | undefined
  /** blocks * 512 of every file below, hard links counted each time, as the reference's DirSize */
  readonly allocatedBytes: number
  readonly apparentBytes: number
  readonly header: FileVerdict<HeaderSummary>
  readonly diffFiles: DiffFiles | undefined
  readonly rootfs: FileVerdict<RootfsSummary>
  /** undefined: there is no rootfs.cow */
  readonly cowFile?: CowFile | undefined
  readonly vmState: FileVerdict<VMStateSummary>
  /** files that should be there and are not, by name */
  readonly missing: readonly string[]
  /** memfile.<id> files that no mapping names */
  readonly unreferenced: readonly string[]
  /** everything that speaks against restoring it, and oddities, in a fixed order */
  readonly findings: readonly Finding[]
  /** true when no finding is worse than `warning` and it exists; undefined when only `unknown` findings stand between */
  readonly restorable: boolean | undefined
  /** time until another inspection can say more about whether the directory stands still; undefined: none can while nothing changes */
  readonly reinspectAfterMs?: number | undefined
}

export type Report =
  | DirectoryReport
  /** proven: the base directory is readable and carries its marker, and nothing has that name */
  | {
      readonly kind: 'absent'
      readonly name: string
      readonly path: string
      /** not proven: it may be one of these entries of the trash, whose names are not known; uids */
      readonly unlessStagedAs?: readonly string[]
    }
  /** something else than a directory (a file, a symbolic link) has the name or, then `at` is another path, one above it: never followed, never removed */
  | {
      readonly kind: 'notADirectory'
      readonly name: string
      readonly path: string
      readonly at: string
      readonly fileType: FileType
    }
  | { readonly kind: 'unknown'; readonly name: string; readonly path: string; readonly problem: Problem }
