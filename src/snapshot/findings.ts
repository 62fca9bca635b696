// What speaks against restoring a directory, and what is odd about it, as stable codes in a fixed order. Pure.

import { type HeaderRemark, isForeignVersion, unsupported } from './header-findings.ts'
import { MEM_DIFF_FILE, MEM_RAW_FILE, ROOTFS_COW_FILE, ROOTFS_FILE } from './layout.ts'
import type { DirectoryReport, FileType, FileVerdict, Finding } from './report.ts'
import type { Shares } from './shares.ts'

/** Every code there is, with its severity. */
export const findingCodes = {
  FilesMissing: 'error',
  HeaderUnsupported: 'error',
  HeaderDamaged: 'error',
  DiffFileMissing: 'error',
  DiffFileShort: 'error',
  VMStateDamaged: 'error',
  RootfsMetaDamaged: 'error',
  BaseTemplateMissing: 'error',
  BaseTemplateChanged: 'error',
  FileUnreadable: 'unknown',
  VMStateUnknown: 'unknown',
  BaseTemplateNotVisible: 'unknown',
  BaseTemplateUnresolved: 'unknown',
  MemoryBeingSaved: 'pending',
  StillChanging: 'pending',
  VMStateEndsInZeros: 'warning',
  DiffFileSizeUnusual: 'warning',
  LegacyMemoryAmbiguous: 'warning',
  DiffFilesUnreferenced: 'warning',
  RootfsMixed: 'warning',
  BaseTemplateNewer: 'warning',
  HeaderFormatUnusual: 'warning',
  BlockSizeUnusual: 'warning',
  MappingsNotContiguous: 'warning',
  MappingsNotCovering: 'warning',
  MappingsMisaligned: 'warning',
  MappingsTooMany: 'warning',
  GenerationUnusual: 'warning',
} as const satisfies Readonly<Record<string, Finding['severity']>>

export type FindingCode = keyof typeof findingCodes

export type Facts = Omit<DirectoryReport, 'findings' | 'restorable' | 'reinspectAfterMs'> & {
  readonly types: ReadonlyMap<string, FileType>
  readonly shares: Shares | undefined
  readonly headerRemarks: readonly HeaderRemark[]
  /** memfile.raw is there */
  readonly hasRawMemory: boolean
  readonly isSettled: boolean
}

export function findingsOf(facts: Facts): readonly Finding[] {
  const found: Finding[] = []
  if (!facts.exists) found.push(finding('FilesMissing', `missing: ${facts.missing.join(', ')}`))
  found.push(...headerFindings(facts.header), ...diffFindings(facts), ...vmStateFindings(facts.vmState))
  found.push(...rootfsFindings(facts))
  if (facts.hasRawMemory)
    found.push(finding('MemoryBeingSaved', `${MEM_RAW_FILE} is there while memory is being saved, or after a crash`))
  if (!facts.isSettled) found.push(finding('StillChanging', 'not yet seen unchanged for the settle time'))
  found.push(...facts.headerRemarks.map(({ code, message }) => finding(code, message)))
  found.push(...ownBuildFindings(facts), ...leftovers(facts), ...newerTemplate(facts))
  return found
}

/** true: nothing speaks against it; undefined: only what could not be read or seen does. */
export function restorableBy(exists: boolean, findings: readonly Finding[]): boolean | undefined {
  const severities = new Set(findings.map(({ severity }) => severity))
  if (!exists || severities.has('error') || severities.has('pending')) return false
  return severities.has('unknown') ? undefined : true
}

function headerFindings(header: Facts['header']): readonly Finding[] {
  switch (header.kind) {
    case 'ok': {
      const { version } = header.value
      return isForeignVersion(version) ? [finding('HeaderUnsupported', unsupported(version))] : []
    }
    case 'damaged':
      return [finding(header.code === 'unsupportedVersion' ? 'HeaderUnsupported' : 'HeaderDamaged', header.message)]
    case 'unreadable':
      return [finding('FileUnreadable', header.problem.message)]
    case 'missing':
      return []
  }
}

/** What a foreign version maps cannot be known. */
function diffFindings({ header, diffFiles, shares, types }: Facts): readonly Finding[] {
  if (diffFiles === undefined || (header.kind === 'ok' && isForeignVersion(header.value.version))) return []
  if (!diffFiles.ok) return [finding('DiffFileMissing', diffFiles.message)]
  return diffFiles.files.flatMap(({ buildID, file, apparentBytes }) => {
    if (types.get(file) !== 'file') return [finding('DiffFileMissing', notAFile(file, types))]
    const endBytes = shares?.builds.get(buildID)?.endBytes ?? 0n
    if (BigInt(apparentBytes) >= endBytes) return []
    return [finding('DiffFileShort', `${file} has ${apparentBytes} bytes, the header maps bytes up to ${endBytes}`)]
  })
}

/** Packed blocks and nothing else: what the header's own build maps is what its file holds, as long as that file was written for this header. */
function ownBuildFindings({ header, diffFiles, shares }: Facts): readonly Finding[] {
  if (header.kind !== 'ok' || isForeignVersion(header.value.version) || !diffFiles?.ok) return []
  const own = diffFiles.files.find(({ buildID }) => buildID === header.value.buildID)
  const { mappedBytes, endBytes } = shares?.builds.get(header.value.buildID) ?? {}
  if (own === undefined || mappedBytes === undefined || endBytes === undefined) return []
  const bytes = BigInt(own.apparentBytes)
  if (bytes === mappedBytes || bytes < endBytes) return []
  return [finding('DiffFileSizeUnusual', `${own.file} has ${bytes} bytes, the header maps ${mappedBytes} of its build`)]
}

function vmStateFindings(vmState: Facts['vmState']): readonly Finding[] {
  switch (vmState.kind) {
    case 'missing':
      return []
    case 'damaged':
      return [finding('VMStateDamaged', vmState.message)]
    case 'unreadable':
      return [finding('FileUnreadable', vmState.problem.message)]
    case 'ok': {
      const { vmm, checksum, remark } = vmState.value
      if (checksum === 'valid') return []
      if (checksum === 'invalid') return [finding('VMStateDamaged', `snapfile: ${remark}`)]
      return [finding(vmm === 'unknown' ? 'VMStateUnknown' : 'VMStateEndsInZeros', `snapfile: ${remark}`)]
    }
  }
}

/** Of a template rootfs.meta is not read at restore. */
function rootfsFindings({ rootfs, cow, template, types }: Facts): readonly Finding[] {
  const image = template ? ROOTFS_FILE : ROOTFS_COW_FILE
  if ((template || cow) && types.get(image) !== 'file') return [finding('FilesMissing', notAFile(image, types))]
  if (!cow || template) return []
  if (rootfs.kind !== 'ok') return damageOf(rootfs)
  const { baseTemplate, baseTemplatePresent, baseTemplateProblem } = rootfs.value
  if (baseTemplatePresent === true) return []
  if (baseTemplatePresent === false)
    return [finding('BaseTemplateMissing', `there is no base template ${baseTemplate}`)]
  if (baseTemplateProblem !== undefined) {
    const message = `the base template ${JSON.stringify(baseTemplate)} cannot be resolved: ${baseTemplateProblem.message}`
    return [finding('BaseTemplateUnresolved', message)]
  }
  return [
    finding(
      'BaseTemplateNotVisible',
      `the base template ${JSON.stringify(baseTemplate)} is not below the base directory`,
    ),
  ]
}

/** By name it is there, as the original package sees it; nothing could be restored from it. */
function notAFile(name: string, types: Facts['types']): string {
  return `${name} is a ${types.get(name)} and no file`
}

function damageOf(rootfs: FileVerdict<unknown>): readonly Finding[] {
  if (rootfs.kind === 'damaged') return [finding('RootfsMetaDamaged', rootfs.message)]
  return rootfs.kind === 'unreadable' ? [finding('FileUnreadable', rootfs.problem.message)] : []
}

/** The CoW file was made over an image that was there before it: one that is younger may be another. */
function newerTemplate({ rootfs, cowFile, cow, template }: Facts): readonly Finding[] {
  if (!cow || template || cowFile === undefined || rootfs.kind !== 'ok') return []
  const { baseTemplate, baseTemplateFile } = rootfs.value
  if (baseTemplateFile === undefined || BigInt(baseTemplateFile.modifiedAtNs) <= BigInt(cowFile.modifiedAt)) return []
  return [finding('BaseTemplateNewer', `the base template ${baseTemplate} was modified after ${ROOTFS_COW_FILE}`)]
}

function leftovers({ diffFiles, unreferenced, template, cow }: Facts): readonly Finding[] {
  const found: Finding[] = []
  const legacy = diffFiles?.ok ? diffFiles.files.filter(({ file }) => file === MEM_DIFF_FILE) : []
  if (legacy.length > 1)
    found.push(finding('LegacyMemoryAmbiguous', `${legacy.length} builds fall back to ${MEM_DIFF_FILE}`))
  if (unreferenced.length > 0)
    found.push(finding('DiffFilesUnreferenced', `no mapping names ${unreferenced.join(', ')}`))
  if (template && cow) found.push(finding('RootfsMixed', 'both rootfs.ext4 and rootfs.cow are there'))
  return found
}

function finding(code: FindingCode, message: string): Finding {
  return { code, severity: findingCodes[code], message }
}
