// Reads the three files of a snapshot directory that say something: header, meta and snapfile. Each answer is a verdict, never an exception.
import type { BaseDirectory } from './base-directory.ts'
import type { Directory, UsedContent } from './descriptor.ts'
import { decodeHeader, HEADER_MAX_BYTES, HEADER_SIZE_BYTES, type Header, HeaderError } from './header.ts'
import { type HeaderRemark, isForeignVersion, remarksOn, unsupported } from './header-findings.ts'
import { MEM_HEADER_FILE, ROOTFS_META_FILE, SNAP_FILE } from './layout.ts'
import { decodeMeta, META_MAX_BYTES, MetaError, type RootfsMeta } from './meta.ts'
import { errnoOf, problemOf } from './problem.ts'
import type { FileVerdict, HeaderSummary, Problem, RootfsSummary } from './report.ts'
import { type Shares, sharesOf } from './shares.ts'
import { resolveTemplate, type TemplateResolution } from './template-path.ts'
import { VM_STATE_MAX_BYTES, VMStateReader, type VMStateSummary } from './vmstate.ts'

export interface HeaderLook {
  readonly verdict: FileVerdict<HeaderSummary>
  readonly shares: Shares | undefined
  readonly remarks: readonly HeaderRemark[]
}

export function headerOf(directory: Directory): HeaderLook {
  const look = lookInto(directory, MEM_HEADER_FILE, HEADER_MAX_BYTES, headerIn)
  return look.kind === 'used' ? look.value : { verdict: look, shares: undefined, remarks: [] }
}

function headerIn(bytes: Uint8Array): HeaderLook {
  try {
    const header = decodeHeader(bytes)
    const shares = sharesOf(header)
    const remarks = isForeignVersion(header.version) ? [] : remarksOn(header, shares)
    return { verdict: { kind: 'ok', value: summaryOf(header, shares) }, shares, remarks }
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error
    return { verdict: notDecoded(bytes, error), shares: undefined, remarks: [] }
  }
}

/** What stands behind the metadata of a foreign version need not look like mappings, and is no damage then. */
function notDecoded(bytes: Uint8Array, { kind, message }: HeaderError): FileVerdict<never> {
  if (bytes.length < HEADER_SIZE_BYTES) return damaged(kind, `${MEM_HEADER_FILE}: ${message}`)
  const version = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true)
  return isForeignVersion(version)
    ? damaged('unsupportedVersion', unsupported(version))
    : damaged(kind, `${MEM_HEADER_FILE}: ${message}`)
}

function summaryOf(header: Header, { zeroBytes }: Shares): HeaderSummary {
  const { version, generation, buildID, baseBuildID, blockSizeBytes, sizeBytes, mappingCount } = header
  return { version, generation, buildID, baseBuildID, blockSizeBytes, sizeBytes, mappings: mappingCount, zeroBytes }
}

export function rootfsOf(directory: Directory): FileVerdict<RootfsMeta> {
  const look = lookInto(directory, ROOTFS_META_FILE, META_MAX_BYTES, metaIn)
  return look.kind === 'used' ? look.value : look
}

function metaIn(bytes: Uint8Array): FileVerdict<RootfsMeta> {
  try {
    return { kind: 'ok', value: decodeMeta(bytes) }
  } catch (error) {
    if (error instanceof MetaError) return damaged(error.kind, `${ROOTFS_META_FILE}: ${error.message}`)
    throw error
  }
}

/** The meta file may have been read long ago; where its template is, is looked at now. */
export function withPresence(
  verdict: FileVerdict<RootfsMeta>,
  base: BaseDirectory,
  device: bigint,
): FileVerdict<RootfsSummary> {
  if (verdict.kind !== 'ok') return verdict
  const { baseTemplate } = verdict.value
  return { kind: 'ok', value: { baseTemplate, ...presenceOf(resolveTemplate(base, baseTemplate), device) } }
}

function presenceOf(template: TemplateResolution, device: bigint): Omit<RootfsSummary, 'baseTemplate'> {
  switch (template.kind) {
    case 'file': {
      const { sizeBytes, mtimeNs, ctimeNs, dev } = template
      const changedAtMs = Number(ctimeNs) / 1e6
      const file = { sizeBytes, modifiedAtNs: String(mtimeNs), changedAtMs, isOneDevice: dev === device }
      return { baseTemplatePresent: true, baseTemplateFile: file }
    }
    case 'missing':
      return { baseTemplatePresent: false }
    case 'outside':
      return { baseTemplatePresent: undefined }
    case 'unresolved':
      return { baseTemplatePresent: undefined, baseTemplateProblem: template.problem }
  }
}

export function vmStateOf(directory: Directory): FileVerdict<VMStateSummary> {
  const reader = new VMStateReader()
  try {
    const file = directory.readPieces(SNAP_FILE, VM_STATE_MAX_BYTES, (piece) => reader.update(piece))
    switch (file.kind) {
      case 'absent':
        return { kind: 'missing' }
      case 'notAFile':
        return damaged('notAFile', `${SNAP_FILE} is no regular file`)
      case 'tooLarge':
        return damaged('tooLarge', `${SNAP_FILE} has ${file.sizeBytes} bytes, at most ${VM_STATE_MAX_BYTES} are read`)
      case 'read':
        return file.sizeBytes === 0 ? damaged('empty', `${SNAP_FILE} is empty`) : { kind: 'ok', value: reader.end() }
    }
  } catch (error) {
    return unreadable(error, SNAP_FILE)
  }
}

function lookInto<T>(
  directory: Directory,
  name: string,
  maxBytes: number,
  look: (bytes: Uint8Array) => T,
): UsedContent<T> | Exclude<FileVerdict<never>, { kind: 'ok' }> {
  try {
    const file = directory.readWith(name, maxBytes, look)
    switch (file.kind) {
      case 'used':
        return file
      case 'absent':
        return { kind: 'missing' }
      case 'notAFile':
        return damaged('notAFile', `${name} is no regular file`)
      case 'tooLarge':
        return damaged('tooLarge', `${name} has ${file.sizeBytes} bytes, at most ${maxBytes} are read`)
    }
  } catch (error) {
    return unreadable(error, name)
  }
}

function damaged(code: string, message: string): { kind: 'damaged'; code: string; message: string } {
  return { kind: 'damaged', code, message }
}

/** A link under the name of a file is not followed, which counts as not there; a socket cannot be opened, which makes it no file. */
function unreadable(
  error: unknown,
  name: string,
): { kind: 'missing' } | { kind: 'damaged'; code: string; message: string } | { kind: 'unreadable'; problem: Problem } {
  switch (errnoOf(error)) {
    case 'ELOOP':
      return { kind: 'missing' }
    case 'ENXIO':
    case 'ENODEV':
      return damaged('notAFile', `${name} is no regular file`)
    default:
      return { kind: 'unreadable', problem: problemOf(error, name) }
  }
}
