// Anything that a directory, its object and the cluster around it can be when an agent decides, for properties.
import fc from 'fast-check'
import type { Observed } from '../../src/agent/decide.ts'
import type { Look } from '../../src/agent/status.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { findingCodes, restorableBy } from '../../src/snapshot/findings.ts'
import type { DirectoryReport, FileVerdict, Finding, Identity } from '../../src/snapshot/report.ts'
import { aVMSnapshot } from './builders.ts'

/** Names and texts from a disk: never half a character, for names that are no UTF-8 come escaped. */
const text = fc.string({ unit: 'binary', maxLength: 80 })
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
/** Over a crafted header a sum passes 64 bits. */
const sum = fc.bigInt({ min: 0n, max: 2n ** 80n })
const problem = fc.record({ code: fc.constantFrom('IOError' as const, 'TimedOut' as const), message: text })
const fileType = fc.constantFrom('file' as const, 'symlink' as const, 'fifo' as const)

/** Few, so that one often is that of another. */
export const identities: readonly Identity[] = [
  { inode: '1', bornAt: '0' },
  { inode: '2', bornAt: '1700000000000000000' },
]
const identity = fc.constantFrom(...identities)

function fileVerdict<T>(value: fc.Arbitrary<T>): fc.Arbitrary<FileVerdict<T>> {
  return fc.oneof(
    fc.record({ kind: fc.constant('ok' as const), value }),
    fc.constant({ kind: 'missing' as const }),
    fc.record({ kind: fc.constant('damaged' as const), code: fc.constant('short'), message: text }),
    fc.record({ kind: fc.constant('unreadable' as const), problem }),
  )
}

const finding: fc.Arbitrary<Finding> = fc
  .tuple(fc.constantFrom(...(Object.keys(findingCodes) as (keyof typeof findingCodes)[])), text)
  .map(([code, message]) => ({ code, severity: findingCodes[code], message }))

const directory: fc.Arbitrary<DirectoryReport> = fc
  .record({
    kind: fc.constant('directory' as const),
    name: fc.constant('snap'),
    path: text,
    identity,
    exists: fc.boolean(),
    template: fc.boolean(),
    cow: fc.boolean(),
    format: fc.constantFrom('Cow' as const, 'Full' as const, undefined),
    allocatedBytes: size,
    apparentBytes: size,
    header: fileVerdict(
      fc.record({
        version: u64,
        generation: u64,
        buildID: fc.uuid(),
        baseBuildID: fc.uuid(),
        blockSizeBytes: u64,
        sizeBytes: u64,
        mappings: size,
        zeroBytes: sum,
      }),
    ),
    diffFiles: fc.option(
      fc.oneof(
        fc.record({
          ok: fc.constant(true as const),
          files: fc.array(
            fc.record({
              buildID: fc.uuid(),
              file: fc.uuid().map((id) => `memfile.${id}`),
              allocatedBytes: size,
              apparentBytes: size,
              mappedBytes: sum,
            }),
            { maxLength: 40 },
          ),
        }),
        fc.record({ ok: fc.constant(false as const), missingBuildID: fc.uuid(), message: text }),
      ),
      { nil: undefined },
    ),
    rootfs: fileVerdict(
      fc.record({ baseTemplate: text, baseTemplatePresent: fc.constantFrom(true, false, undefined) }),
    ),
    vmState: fileVerdict(
      fc.record({
        vmm: fc.constantFrom('firecracker' as const, 'unknown' as const),
        version: fc.constantFrom('', '8.0.0'),
        architecture: fc.constantFrom('x86_64' as const, 'unknown' as const),
        checksum: fc.constantFrom('valid' as const, 'invalid' as const, 'unknown' as const),
        remark: text,
      }),
    ),
    missing: fc.array(text, { maxLength: 20 }),
    unreferenced: fc.array(text, { maxLength: 20 }),
    findings: fc.array(finding, { maxLength: 4 }),
  })
  .map((report) => ({ ...report, restorable: restorableBy(report.exists, report.findings) }))

const path = '/srv/snapshots/snap'
export const look: fc.Arbitrary<Look> = fc.oneof(
  { weight: 4, arbitrary: directory },
  { weight: 2, arbitrary: fc.constant({ kind: 'absent' as const, name: 'snap', path }) },
  fc.record({
    kind: fc.constant('notADirectory' as const),
    name: fc.constant('snap'),
    path: fc.constant(path),
    at: fc.constantFrom(path, '/srv/snapshots'),
    fileType,
  }),
  fc.record({ kind: fc.constant('unknown' as const), name: fc.constant('snap'), path: fc.constant(path), problem }),
  fc.record({
    kind: fc.constant('unseen' as const),
    path: fc.constant(path),
    reason: fc.constant('StorageChanged' as const),
    message: text,
  }),
)

/** Disks: `here` is the one that is there, `retired` one that was given up, `elsewhere` one that is away. */
const storageID = fc.constantFrom('here', 'retired', 'elsewhere')
const finalizers = fc.subarray(['example.org/hold', 'foregroundDeletion', 'orphan'], { maxLength: 2 })

/** An object like others of its kind, so that most of what can be asked of it says yes now and then. */
const object: fc.Arbitrary<VMSnapshot> = fc
  .record({
    uid: fc.uuid(),
    isHeld: mostly(true),
    isDeleting: fc.boolean(),
    isRetaining: mostly(false),
    others: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, finalizers),
    isOlder: fc.boolean(),
    seenOn: fc.option(fc.oneof({ weight: 3, arbitrary: fc.constant('here') }, storageID), { nil: undefined }),
    recorded: fc.option(fc.option(identity, { nil: null }), { nil: undefined }),
  })
  .map(({ uid, isHeld, isDeleting, isRetaining, others, isOlder, seenOn, recorded }) => {
    let built = aVMSnapshot().createdAt(isOlder ? '2025-01-01T00:00:00Z' : '2026-01-01T00:00:00Z')
    built = isHeld ? built.held(...others) : built.withFinalizers(...others)
    if (isDeleting) built = built.deleting()
    if (isRetaining) built = built.retaining()
    if (seenOn !== undefined) built = built.seenOn(seenOn)
    if (recorded !== undefined) built = built.recorded(recorded?.inode, recorded?.bornAt)
    const { metadata, ...rest } = built.build()
    return { ...rest, metadata: { ...metadata, uid } }
  })

const claim: fc.Arbitrary<VMSnapshot> = fc
  .tuple(object, fc.oneof({ weight: 4, arbitrary: fc.constant('snap') }, fc.constant('snap/below')))
  .map(([other, snapshotName]) => ({ ...other, spec: { ...other.spec, snapshotName } }))

export const observed: fc.Arbitrary<Observed> = fc.record({
  object,
  claims: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(claim, { maxLength: 3 })),
  storage: mostly<Observed['storage']>(
    { kind: 'ready', storageID: 'here', retiredStorageIDs: ['retired'] },
    {
      kind: 'ready',
      storageID: 'here',
      retiredStorageIDs: [],
      unlocked: { code: 'IOError', message: 'no lock' },
    },
    {
      kind: 'ready',
      storageID: 'here',
      retiredStorageIDs: [],
      removalsBlocked: { reason: 'StorageShared', message: 'node-2' },
    },
    { kind: 'unknown', reason: 'TimedOut', message: 'no answer' },
    { kind: 'standby', reason: 'LockHeld', message: 'another agent' },
  ),
  report: look,
  owner: mostly<Observed['owner']>(
    { kind: 'none' },
    { kind: 'gone' },
    { kind: 'standing', deleting: false, retains: false, foreignFinalizers: [] },
    { kind: 'standing', deleting: true, retains: true, foreignFinalizers: [] },
    { kind: 'standing', deleting: true, retains: false, foreignFinalizers: ['example.org/hold'] },
    { kind: 'unknown', message: 'no answer' },
  ),
  definitions: mostly<Observed['definitions']>(
    { kind: 'stable' },
    { kind: 'terminating', name: 'vmsnapshots.vmsnapshot.io' },
    { kind: 'unknown', message: 'no answer' },
  ),
  diskBlock: mostly<Observed['diskBlock']>(
    undefined,
    { kind: 'blocked', code: 'InUse', message: 'a loop device' },
    { kind: 'unknown', problem: { code: 'IOError', message: 'EIO' } },
  ),
  refusal: mostly<Observed['refusal']>(undefined, { kind: 'blocked', reason: 'NameTaken', message: 'a moment ago' }),
  barrierPassed: fc.boolean(),
  allowRemoval: mostly(true),
})

/** `usual` in three cases of four, else one of `others`: of a boolean the other one. */
function mostly<T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> {
  const rest = typeof usual === 'boolean' ? [!usual as T] : others
  return fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, fc.constantFrom(...rest))
}
