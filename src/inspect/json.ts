// One report as one JSON object: the schema is docs/inspect.md. Numbers that may pass 2^53 are text.
import type { DirectoryReport, Report } from '../snapshot/report.ts'

export function jsonOf(report: Report): object {
  return report.kind === 'directory' ? directoryOf(report) : absentOf(report)
}

function directoryOf(report: DirectoryReport): object {
  const { name, path, exists, template, cow, format, restorable, allocatedBytes, apparentBytes } = report
  return {
    name,
    path,
    exists,
    template,
    cow,
    format: format ?? null,
    restorable: restorable ?? null,
    reasons: report.findings.map(({ code, severity, message }) => ({ code, severity, message })),
    allocatedBytes,
    apparentBytes,
    baseTemplate: report.rootfs.kind === 'ok' ? report.rootfs.value.baseTemplate : null,
    baseTemplatePresent: report.rootfs.kind === 'ok' ? (report.rootfs.value.baseTemplatePresent ?? null) : null,
    ...headerOf(report),
    ...diffFilesOf(report),
    vmState: vmStateOf(report),
    missing: report.missing,
    unreferenced: report.unreferenced,
  }
}

/** `exists` is false where nothing has the name, and null where that could not be found out. */
function absentOf(report: Exclude<Report, { kind: 'directory' }>): object {
  const { name, path } = report
  const isUnknown = report.kind === 'unknown'
  const reason =
    report.kind === 'unknown'
      ? { code: report.problem.code, severity: 'unknown', message: report.problem.message }
      : report.kind === 'absent'
        ? { code: 'DirectoryAbsent', severity: 'error', message: `there is no ${path}` }
        : { code: 'NotADirectory', severity: 'error', message: `${path} is a ${report.fileType}` }
  return { name, path, exists: isUnknown ? null : false, restorable: isUnknown ? null : false, reasons: [reason] }
}

function headerOf({ header }: DirectoryReport): object {
  if (header.kind !== 'ok') return { header: null }
  const { version, generation, buildID, baseBuildID, blockSizeBytes, sizeBytes, mappings, zeroBytes } = header.value
  return {
    header: {
      version: String(version),
      generation: String(generation),
      buildID,
      baseBuildID,
      blockSizeBytes: String(blockSizeBytes),
      sizeBytes: String(sizeBytes),
      mappings: String(mappings),
      zeroBytes: String(zeroBytes),
    },
  }
}

function diffFilesOf({ diffFiles }: DirectoryReport): object {
  if (diffFiles === undefined) return {}
  if (!diffFiles.ok) return { diffError: diffFiles.message }
  return { diffFiles: Object.fromEntries(diffFiles.files.map(({ buildID, file }) => [buildID, file])) }
}

function vmStateOf({ vmState }: DirectoryReport): object | null {
  if (vmState.kind === 'missing') return null
  if (vmState.kind !== 'ok') return { vmm: 'unknown', version: '', architecture: 'unknown', checksum: 'unknown' }
  const { vmm, version, architecture, checksum } = vmState.value
  return { vmm, version, architecture, checksum }
}
