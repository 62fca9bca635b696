// The base template that rootfs.cow was first inspected with. A CoW file is valid only over the exact bytes that it was made over, so that a later
// difference of size or modification time makes it worthless. Times are compared for equality only. Pure.
import { boundedCount } from '../api/quantity.ts'
import { cutText } from '../api/text.ts'
import { type BaseTemplateStatus, PATH_MAX_LENGTH } from '../api/vmsnapshot.ts'
import type { CowFile, DirectoryReport, Finding, Report, TemplateFile } from '../snapshot/report.ts'

/**
 * What is to be recorded: what is recorded already, until rootfs.cow is another file. Recorded is what has settled.
 * A sandbox manager that pauses a VM again moves the same rootfs.cow back and writes rootfs.meta anew: that is no other CoW file.
 */
export function baseTemplateOf(
  report: Report | { readonly kind: 'unseen' },
  recorded: BaseTemplateStatus | undefined,
): BaseTemplateStatus | undefined {
  const seen = report.kind === 'directory' ? seenIn(report) : undefined
  if (seen === undefined || report.kind !== 'directory' || !isSettled(report)) return recorded
  return recorded === undefined || isReplaced(recorded, seen) ? seen : recorded
}

/** The report with what the record says against it. */
export function withBaseTemplate(report: DirectoryReport, recorded: BaseTemplateStatus | undefined): DirectoryReport {
  const seen = seenIn(report)
  if (seen === undefined || recorded === undefined || isReplaced(recorded, seen)) return report
  if (seen.sizeBytes === recorded.sizeBytes && seen.modifiedAt === recorded.modifiedAt) return report
  const message = `the base template ${seen.path} is not the one that rootfs.cow was first seen with: ${valuesOf(recorded)}; now ${valuesOf(seen)}`
  const changed: Finding = { code: 'BaseTemplateChanged', severity: 'error', message }
  return { ...report, findings: [...report.findings, changed], restorable: false }
}

function seenIn({ cow, template, cowFile, rootfs }: DirectoryReport): BaseTemplateStatus | undefined {
  if (!cow || template || cowFile === undefined || rootfs.kind !== 'ok') return undefined
  const { baseTemplate, baseTemplateFile } = rootfs.value
  return baseTemplateFile && statusOf(baseTemplate, baseTemplateFile, cowFile)
}

function statusOf(path: string, file: TemplateFile, { inode, bornAt, modifiedAt }: CowFile): BaseTemplateStatus {
  return {
    path: cutText(path, PATH_MAX_LENGTH),
    sizeBytes: boundedCount(file.sizeBytes),
    modifiedAt: file.modifiedAtNs,
    cowInode: inode,
    cowBornAt: bornAt,
    cowModifiedAt: modifiedAt,
  }
}

function isSettled({ findings }: DirectoryReport): boolean {
  return findings.every(({ severity }) => severity !== 'pending')
}

/** File systems without birth times are often those that make inode numbers up: there the modification time must differ too. */
function isReplaced(recorded: BaseTemplateStatus, seen: BaseTemplateStatus): boolean {
  const isOtherInode = recorded.cowInode !== seen.cowInode
  if (recorded.cowBornAt !== '0' && seen.cowBornAt !== '0') return isOtherInode || recorded.cowBornAt !== seen.cowBornAt
  return isOtherInode && recorded.cowModifiedAt !== seen.cowModifiedAt
}

function valuesOf({ sizeBytes, modifiedAt }: BaseTemplateStatus): string {
  return `${sizeBytes} bytes, modified ${timeOf(modifiedAt)}`
}

const largestMs = 8.64e15
const nanosecondDigits = 9

/** ISO 8601 with nanoseconds. */
function timeOf(nanoseconds: string): string {
  const fraction = ((BigInt(nanoseconds) % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  const wholeMs = Number((BigInt(nanoseconds) - fraction) / 1_000_000n)
  if (Math.abs(wholeMs) > largestMs) return `${nanoseconds} ns`
  const text = new Date(wholeMs).toISOString().slice(0, -'.000Z'.length)
  return `${text}.${String(fraction).padStart(nanosecondDigits, '0')}Z`
}
