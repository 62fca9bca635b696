// Reports for tests: a plain whole snapshot, and the worst that any directory could make of one.
import type { DirectoryReport } from '../../src/snapshot/report.ts'

const buildID = '11111111-2222-4333-8444-555555555555'

export function aReport(changes: Partial<DirectoryReport> = {}): DirectoryReport {
  return {
    kind: 'directory',
    name: 'snap',
    path: '/srv/snapshots/snap',
    identity: { inode: '42', bornAt: '1700000000000000000' },
    exists: true,
    template: true,
    cow: false,
    format: 'Full',
    allocatedBytes: 4096,
    apparentBytes: 8192,
    header: {
      kind: 'ok',
      value: {
        version: 1n,
        generation: 0n,
        buildID,
        baseBuildID: buildID,
        blockSizeBytes: 4096n,
        sizeBytes: 8192n,
        mappings: 1,
        zeroBytes: 0n,
      },
    },
    diffFiles: {
      ok: true,
      files: [{ buildID, file: `memfile.${buildID}`, allocatedBytes: 4096, apparentBytes: 8192, mappedBytes: 8192n }],
    },
    rootfs: { kind: 'missing' },
    vmState: {
      kind: 'ok',
      value: { vmm: 'firecracker', version: '8.0.0', architecture: 'x86_64', checksum: 'valid', remark: '' },
    },
    missing: [],
    unreferenced: [],
    findings: [],
    restorable: true,
    ...changes,
  }
}

const largest = Number.MAX_SAFE_INTEGER
const u64 = 2n ** 64n - 1n
/** Six bytes a character as JSON. */
const control = '\u0001'.repeat(10_000)

export function worstReport(): DirectoryReport {
  const files = Array.from({ length: 1_000 }, () => ({
    buildID,
    file: `memfile.${buildID}`,
    allocatedBytes: largest,
    apparentBytes: largest,
    mappedBytes: u64,
  }))
  return aReport({
    path: `/${control}`,
    exists: false,
    template: true,
    cow: true,
    format: 'Cow',
    allocatedBytes: largest,
    apparentBytes: largest,
    header: {
      kind: 'ok',
      value: {
        version: u64,
        generation: u64,
        buildID,
        baseBuildID: buildID,
        blockSizeBytes: u64,
        sizeBytes: u64,
        mappings: largest,
        zeroBytes: u64,
      },
    },
    diffFiles: { ok: true, files },
    rootfs: { kind: 'ok', value: { baseTemplate: control, baseTemplatePresent: false } },
    missing: Array(100).fill(control),
    unreferenced: Array(100).fill(control),
    findings: [{ code: 'FilesMissing', severity: 'error', message: control }],
    restorable: false,
  })
}
