import { describe, expect, test } from 'vitest'
import { agentPartOf, nodeStatusOf } from '../../src/agent/node-status.ts'
import type { VMSnapshotNodeStatus } from '../../src/api/vmsnapshotnode.ts'

const condition = (type: string) => ({
  type,
  status: 'True' as const,
  reason: type,
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
})
const agent = { version: '1.0.0', nodeUID: 'node-uid' }
const status: VMSnapshotNodeStatus = {
  storageID: 'disk-1',
  conditions: [condition('StorageReady'), condition('AgentReady')],
  abandoned: [
    {
      uid: 'uid-1',
      namespace: 'default',
      name: 'snap',
      snapshotName: 'snap',
      path: '/srv/snapshots/snap',
      abandonedAt: '2026-01-01T00:00:00Z',
    },
  ],
}

describe('the status of a VMSnapshotNode', () => {
  test('is compared without what the controller writes there', () => {
    expect(agentPartOf(status)).toEqual({ storageID: 'disk-1', conditions: [condition('StorageReady')] })
    expect(agentPartOf(undefined)).toEqual({})
  })

  test('is written without it too, so that the agent never owns it', () => {
    const node = {
      metadata: { name: 'node-1', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
      status,
    }
    const storage = { kind: 'unknown', problem: { code: 'TimedOut', message: 'no answer' } } as const
    const verdict = { kind: 'unknown', reason: 'TimedOut', message: 'no answer' } as const
    const written = nodeStatusOf({
      node,
      storage,
      verdict,
      baseDir: '/srv/snapshots',
      agent,
      taken: undefined,
      nameTaken: [],
    })
    expect(written).not.toHaveProperty('abandoned')
    expect(written.conditions.map(({ type }) => type)).toEqual(['StorageReady'])
  })
})

describe('the status of a base directory that is ready', () => {
  const storage = {
    kind: 'ready',
    storageID: 'disk-1',
    fileSystemType: 'xfs',
    isMountPoint: true,
    totalBytes: 100 * 1024 ** 3,
    availableBytes: 40 * 1024 ** 3,
    totalInodes: 1_000,
    availableInodes: 500,
  } as const
  const inventory = {
    kind: 'inventory',
    claimed: { directories: 1, bytes: 1 },
    unclaimed: { directories: 1, bytes: 2 },
    trash: { directories: 0, bytes: 0, oldestAtMs: undefined },
    unreadable: { directories: 0, first: [] },
    largest: [{ name: 'snap', allocatedBytes: 2, format: undefined, firstSeenAtMs: 0 }],
  } as const
  const node = (recorded?: VMSnapshotNodeStatus) => ({
    metadata: { name: 'node-1', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
    ...(recorded === undefined ? {} : { status: recorded }),
  })
  const verdict = { kind: 'ready', storageID: 'disk-1', retiredStorageIDs: [] } as const
  const taken = { storageID: 'disk-1', inventory, takenAtMs: 0 }
  const seen = { storage, verdict, baseDir: '/srv/snapshots', agent, nameTaken: [] }

  test('tells of the file system, what lies there, and who says so', () => {
    expect(nodeStatusOf({ ...seen, node: node(status), taken })).toMatchObject({
      storageID: 'disk-1',
      freeSpace: '40Gi of 100Gi',
      fileSystemType: 'xfs',
      claimedDirectories: 1,
      unclaimed: [{ snapshotName: 'snap', formerOwner: 'default/snap' }],
      agentVersion: '1.0.0',
      nodeUID: 'node-uid',
    })
  })

  test('keeps what was known of this disk until it was walked, and nothing of another disk', () => {
    const recorded = { ...status, ...nodeStatusOf({ ...seen, node: node(status), taken }), conditions: [] }
    expect(nodeStatusOf({ ...seen, node: node(recorded), taken: undefined }).unclaimed).toEqual(recorded.unclaimed)
    const other = { ...seen, verdict: { ...verdict, storageID: 'disk-2' }, node: node(recorded) }
    expect(nodeStatusOf({ ...other, taken })).not.toHaveProperty('unclaimed')
    expect(nodeStatusOf({ ...other, taken })).toMatchObject({ storageID: 'disk-2', totalInodes: 1_000 })
  })

  test('says what waits in the trash for its name', () => {
    const nameTaken = [{ uid: 'uid-1', name: 'teams/a' }]
    expect(nodeStatusOf({ ...seen, node: node(), taken, nameTaken }).conditions[0]).toMatchObject({
      status: 'True',
      message: '/srv/snapshots is storage disk-1; in the trash until their names are free: teams/a (uid-1)',
    })
  })

  test('names entries of .vmsnapshot that need a person, the worst first, and stays within what a message may hold', () => {
    const leftovers = [
      { kind: 'foreign', path: '.vmsnapshot/trash/a\nb', message: 'a file that the agent did not make' },
      { kind: 'unnamed', path: '.vmsnapshot/trash/u1', message: 'its name file u1.name is empty', uid: 'u1' },
      {
        kind: 'failed',
        path: '.vmsnapshot/trash/u2.dead',
        message: 'f: EPERM',
        uid: 'u2',
        name: 'snap',
        errno: 'EPERM',
      },
    ] as const
    const nameTaken = [{ uid: 'u1', name: '' }]
    expect(nodeStatusOf({ ...seen, node: node(), taken, nameTaken, leftovers }).conditions[0]).toMatchObject({
      status: 'True',
      message:
        '/srv/snapshots is storage disk-1; 3 entries of .vmsnapshot need repair by hand: trash/u2.dead (snap): f: EPERM; trash/u1 is kept: its name file u1.name is empty; trash/a?b: a file that the agent did not make',
    })
    const many = Array.from({ length: 100 }, (_, index) => ({ ...leftovers[0], path: `${index}`.padStart(300, 'é') }))
    const [condition] = nodeStatusOf({ ...seen, node: node(), taken, leftovers: many }).conditions
    expect(Buffer.byteLength(condition?.message ?? '')).toBeLessThanOrEqual(1_024)
    expect(condition?.message).toContain('100 entries')
  })

  test('has no uid of a Node where the token names none', () => {
    const nobody = { version: '1.0.0', nodeUID: undefined }
    const recorded = { ...status, nodeUID: 'earlier' }
    expect(nodeStatusOf({ ...seen, node: node(recorded), taken, agent: nobody })).not.toHaveProperty('nodeUID')
  })
})
