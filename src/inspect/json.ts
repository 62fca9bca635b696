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

/** The same fields where there is no directory: the answers of the original package are false there, and null where it could not be found out. */
function absentOf(report: Exclude<Report, { kind: 'directory' }>): object {
  const { name, path } = report
  const answer = report.kind === 'unknown' ? null : false
  return {
    name,
    path,
    exists: answer,
    template: answer,
    cow: answer,
    format: null,
    restorable: answer,
    reasons: [reasonOf(report)],
    allocatedBytes: null,
    apparentBytes: null,
    baseTemplate: null,
    baseTemplatePresent: null,
    header: null,
    vmState: null,
    missing: [],
    unreferenced: [],
  }
}

function reasonOf(report: Exclude<Report, { kind: 'directory' }>): object {
  switch (report.kind) {
    case 'absent':
      return { code: 'DirectoryAbsent', severity: 'error', message: `there is no ${report.path}` }
    case 'notADirectory':
      return { code: 'NotADirectory', severity: 'error', message: `${report.at} is a ${report.fileType}` }
    case 'unknown':
      return { code: report.problem.code, severity: 'unknown', message: report.problem.message }
  }
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
