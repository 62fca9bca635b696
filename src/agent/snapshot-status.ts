// status.snapshot from a report. Bounded in every direction, so that an object stays small whatever a directory holds. Pure.
import { boundedCount, formatBytes } from '../api/quantity.ts'
import { cutText } from '../api/text.ts'
import {
  DIFF_FILE_LIMIT,
  FILE_LIST_LIMIT,
  FILE_NAME_MAX_LENGTH,
  PATH_MAX_LENGTH,
  type SnapshotStatus,
} from '../api/vmsnapshot.ts'
import type { DiffFile, DirectoryReport, FileVerdict, HeaderSummary, RootfsSummary } from '../snapshot/report.ts'
import type { VMStateSummary } from '../snapshot/vmstate.ts'

const maxU64 = 2n ** 64n - 1n

export function snapshotStatusOf(report: DirectoryReport): SnapshotStatus {
  const { path, format, template, allocatedBytes, apparentBytes, header, rootfs } = report
  return {
    path: cutText(path, PATH_MAX_LENGTH),
    ...(format === undefined ? {} : { format }),
    template,
    allocatedBytes: boundedCount(allocatedBytes),
    apparentBytes: boundedCount(apparentBytes),
    size: formatBytes(allocatedBytes),
    ...ifRead(header, (value) => ({ memory: memoryOf(value) })),
    ...diffFilesOf(report),
    ...ifRead(rootfs, (value) => ({ rootfs: rootfsOf(value) })),
    ...ifRead(report.vmState, (value) => ({ vmState: vmStateOf(value) })),
    ...list('missing', missingOf(report)),
    ...list('unreferenced', report.unreferenced),
  }
}

function ifRead<T, R extends object>(verdict: FileVerdict<T>, show: (value: T) => R): R | undefined {
  return verdict.kind === 'ok' ? show(verdict.value) : undefined
}

function memoryOf(header: HeaderSummary): NonNullable<SnapshotStatus['memory']> {
  const { version, generation, buildID, baseBuildID, blockSizeBytes, sizeBytes, mappings, zeroBytes } = header
  return {
    version: String(version),
    generation: String(generation),
    buildID,
    baseBuildID,
    blockSizeBytes: String(blockSizeBytes),
    sizeBytes: String(sizeBytes),
    mappings: boundedCount(mappings),
    zeroBytes: u64(zeroBytes),
  }
}

function diffFilesOf({ diffFiles }: DirectoryReport): Pick<SnapshotStatus, 'diffFiles' | 'diffFileCount'> {
  if (!diffFiles?.ok) return {}
  return { diffFiles: diffFiles.files.slice(0, DIFF_FILE_LIMIT).map(rowOf), diffFileCount: diffFiles.files.length }
}

function rowOf({ buildID, file, allocatedBytes, apparentBytes, mappedBytes }: DiffFile) {
  return {
    buildID,
    file: cutText(file, FILE_NAME_MAX_LENGTH),
    allocatedBytes: boundedCount(allocatedBytes),
    apparentBytes: boundedCount(apparentBytes),
    mappedBytes: u64(mappedBytes),
  }
}

function rootfsOf(rootfs: RootfsSummary): NonNullable<SnapshotStatus['rootfs']> {
  const { baseTemplate, baseTemplatePresent, baseTemplateFile } = rootfs
  return {
    baseTemplate: cutText(baseTemplate, PATH_MAX_LENGTH),
    ...(baseTemplatePresent === undefined ? {} : { baseTemplatePresent }),
    ...(baseTemplateFile === undefined
      ? {}
      : {
          baseTemplateSizeBytes: boundedCount(baseTemplateFile.sizeBytes),
          baseTemplateModifiedAt: baseTemplateFile.modifiedAtNs,
        }),
  }
}

function vmStateOf({ vmm, version, architecture, checksum }: VMStateSummary): NonNullable<SnapshotStatus['vmState']> {
  return { vmm, version, architecture, checksum }
}

/** Sums over a crafted header may pass 64 bits. */
function u64(value: bigint): string {
  return String(value > maxU64 ? maxU64 : value)
}

function missingOf({ missing, diffFiles }: DirectoryReport): readonly string[] {
  return diffFiles?.ok === false ? [...missing, `memfile.${diffFiles.missingBuildID}`] : missing
}

function list<K extends 'missing' | 'unreferenced'>(field: K, names: readonly string[]) {
  if (names.length === 0) return undefined
  return { [field]: names.slice(0, FILE_LIST_LIMIT).map((name) => cutText(name, FILE_NAME_MAX_LENGTH)) }
}
