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
    const written = nodeStatusOf({ node, storage, verdict, baseDir: '/srv/snapshots' })
    expect(written).not.toHaveProperty('abandoned')
    expect(written.conditions.map(({ type }) => type)).toEqual(['StorageReady'])
  })
})
