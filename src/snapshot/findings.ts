// What speaks against restoring a directory, as stable codes in a fixed order. Pure.
import type { Shares } from './header.ts'
import type { DirectoryReport, FileVerdict, Finding } from './report.ts'

/** Every code there is, with its severity. */
export const findingCodes = {
  FilesMissing: 'error',
  HeaderUnsupported: 'error',
  HeaderDamaged: 'error',
  DiffFileMissing: 'error',
  DiffFileShort: 'error',
  RootfsMetaDamaged: 'error',
  FileUnreadable: 'unknown',
  StillChanging: 'pending',
} as const satisfies Readonly<Record<string, Finding['severity']>>

export type FindingCode = keyof typeof findingCodes

type Facts = Pick<DirectoryReport, 'missing' | 'exists' | 'header' | 'diffFiles' | 'rootfs' | 'cow' | 'template'> & {
  readonly shares: Shares | undefined
  readonly isSettled: boolean
}

export function findingsOf(facts: Facts): readonly Finding[] {
  const found: Finding[] = []
  if (!facts.exists) found.push(finding('FilesMissing', `missing: ${facts.missing.join(', ')}`))
  found.push(...headerFindings(facts.header), ...diffFindings(facts), ...rootfsFindings(facts))
  if (!facts.isSettled) found.push(finding('StillChanging', 'changed within the settle time'))
  return found
}

/** true: nothing speaks against it; undefined: only what could not be read does. */
export function restorableBy(exists: boolean, findings: readonly Finding[]): boolean | undefined {
  const severities = new Set(findings.map(({ severity }) => severity))
  if (!exists || severities.has('error') || severities.has('pending')) return false
  return severities.has('unknown') ? undefined : true
}

function headerFindings(header: Facts['header']): readonly Finding[] {
  switch (header.kind) {
    case 'damaged':
      return [finding(header.code === 'unsupportedVersion' ? 'HeaderUnsupported' : 'HeaderDamaged', header.message)]
    case 'unreadable':
      return [finding('FileUnreadable', header.problem.message)]
    default:
      return []
  }
}

function diffFindings({ diffFiles, shares }: Facts): readonly Finding[] {
  if (diffFiles === undefined) return []
  if (!diffFiles.ok) return [finding('DiffFileMissing', diffFiles.message)]
  return diffFiles.files.flatMap(({ buildID, file, apparentBytes }) => {
    const endBytes = shares?.builds.get(buildID)?.endBytes ?? 0n
    if (BigInt(apparentBytes) >= endBytes) return []
    return [finding('DiffFileShort', `${file} has ${apparentBytes} bytes, the header maps bytes up to ${endBytes}`)]
  })
}

/** Of a template rootfs.meta is not read at restore. */
function rootfsFindings({ rootfs, cow, template }: Facts): readonly Finding[] {
  if (!cow || template) return []
  return damageOf(rootfs)
}

function damageOf(rootfs: FileVerdict<unknown>): readonly Finding[] {
  if (rootfs.kind === 'damaged') return [finding('RootfsMetaDamaged', rootfs.message)]
  return rootfs.kind === 'unreadable' ? [finding('FileUnreadable', rootfs.problem.message)] : []
}

function finding(code: FindingCode, message: string): Finding {
  return { code, severity: findingCodes[code], message }
}
