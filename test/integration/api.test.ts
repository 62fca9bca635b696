import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { withInventory } from '../../src/agent/inventory-status.ts'
import { snapshotStatusOf } from '../../src/agent/snapshot-status.ts'
import { statusOf } from '../../src/agent/status.ts'
import { vmSnapshotSpec } from '../../src/api/vmsnapshot.ts'
import { UNCLAIMED_LIMIT, vmSnapshotNodeKind } from '../../src/api/vmsnapshotnode.ts'
import { vmSnapshotSetSpec } from '../../src/api/vmsnapshotset.ts'
import type { APIError } from '../../src/kube/connection.ts'
import { applyBody } from '../../src/kube/object.ts'
import { observed } from '../support/arbitraries.ts'
import { aReport, worstReport } from '../support/reports.ts'
import { Scene } from '../support/scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene.close())

/** Whether the server, validating strictly, would take the spec. */
async function serverTakes(kind: string, spec: unknown): Promise<boolean> {
  const path = `/apis/vmsnapshot.io/v1alpha1/namespaces/${scene.namespace}/${kind.toLowerCase()}s`
  const body = { apiVersion: 'vmsnapshot.io/v1alpha1', kind, metadata: { name: 'sample' }, spec }
  try {
    await scene.connection.request({ method: 'POST', path, body, query: { dryRun: 'All', fieldValidation: 'Strict' } })
    return true
  } catch (error) {
    expect(['Invalid', 'BadRequest']).toContain((error as APIError).kind)
    return false
  }
}

describe('specs on which the schema and the server agree', () => {
  const segment = (length: number) => 'a'.repeat(length)
  const spec = (more: object) => ({ nodeName: 'node-1', snapshotName: 'snap', ...more })
  const cases: readonly [string, unknown, boolean][] = [
    ['the least', spec({}), true],
    ['four segments', spec({ snapshotName: 'a/b/c/d' }), true],
    ['every allowed character', spec({ snapshotName: 'A9._-/z.._-' }), true],
    ['a segment of 128 characters', spec({ snapshotName: segment(128) }), true],
    ['four segments of 128 characters', spec({ snapshotName: Array(4).fill(segment(128)).join('/') }), true],
    ['Retain', spec({ deletionPolicy: 'Retain' }), true],
    ['a node name of 253 characters', spec({ nodeName: segment(253) }), true],
    ['a way out', spec({ snapshotName: '../x' }), false],
    ['a way out in the middle', spec({ snapshotName: 'a/../b' }), false],
    ['an empty segment', spec({ snapshotName: 'a//b' }), false],
    ['a leading slash', spec({ snapshotName: '/a' }), false],
    ['a trailing slash', spec({ snapshotName: 'a/' }), false],
    ['a line feed at the end', spec({ snapshotName: 'a\n' }), false],
    ['a leading dot', spec({ snapshotName: '.vmsnapshot' }), false],
    ['a blank', spec({ snapshotName: 'a b' }), false],
    ['a letter beyond ASCII', spec({ snapshotName: 'ä' }), false],
    ['a segment of 129 characters', spec({ snapshotName: segment(129) }), false],
    ['five segments', spec({ snapshotName: 'a/b/c/d/e' }), false],
    ['an empty name', spec({ snapshotName: '' }), false],
    ['no name', { nodeName: 'node-1' }, false],
    ['an empty node name', spec({ nodeName: '' }), false],
    ['a node name of 254 characters', spec({ nodeName: segment(254) }), false],
    ['no node name', { snapshotName: 'snap' }, false],
    ['a number as a name', spec({ snapshotName: 5 }), false],
    ['an unknown policy', spec({ deletionPolicy: 'Keep' }), false],
  ]
  test.each(cases)('%s', async (_, value, isGood) => {
    expect({ schema: vmSnapshotSpec.safeParse(value).success, server: await serverTakes('VMSnapshot', value) }).toEqual(
      {
        schema: isGood,
        server: isGood,
      },
    )
  })

  const set = (more: object) => ({ nodeSelector: {}, template: { snapshotName: 'snap' }, ...more })
  const expression = (more: object) => set({ nodeSelector: { matchExpressions: [{ key: 'zone', ...more }] } })
  const setCases: readonly [string, unknown, boolean][] = [
    ['every node', set({}), true],
    ['labels', set({ nodeSelector: { matchLabels: { 'example.org/zone': 'a' } } }), true],
    ['an expression', expression({ operator: 'In', values: ['a'] }), true],
    ['no selector', { template: { snapshotName: 'snap' } }, false],
    ['no template', { nodeSelector: {} }, false],
    ['a template that leads out', set({ template: { snapshotName: '../x' } }), false],
    ['an expression without values', expression({ operator: 'DoesNotExist' }), true],
    ['an unknown operator', expression({ operator: 'Like' }), false],
    ['In without values', expression({ operator: 'In' }), false],
    ['NotIn with no values', expression({ operator: 'NotIn', values: [] }), false],
    ['Exists with values', expression({ operator: 'Exists', values: ['a'] }), false],
  ]
  test.each(setCases)('a set: %s', async (_, value, isGood) => {
    expect({
      schema: vmSnapshotSetSpec.safeParse(value).success,
      server: await serverTakes('VMSnapshotSet', value),
    }).toEqual({ schema: isGood, server: isGood })
  })

  test('the server refuses a field that there is not, and names it', async () => {
    const manifest = {
      apiVersion: 'vmsnapshot.io/v1alpha1',
      kind: 'VMSnapshot',
      metadata: { name: 'x' },
      spec: spec({ snapshot: 'y' }),
    }
    const { stderr } = await scene.cluster.tryKubectl(['apply', '-n', scene.namespace, '-f', '-'], { input: manifest })
    expect(stderr).toContain('unknown field "spec.snapshot"')
  })
})

describe('an object', () => {
  beforeAll(async () => {
    await scene.create('fixed', { nodeName: 'node-1', snapshotName: 'group/fixed' })
  })

  test.each(['nodeName', 'snapshotName'])('never changes its %s', async (field) => {
    const patch = scene.snapshots.patch(scene.key('fixed'), [{ op: 'replace', path: `/spec/${field}`, value: 'other' }])
    await expect(patch).rejects.toThrow(`${field} cannot be changed`)
  })

  test('changes its policy', async () => {
    await scene.snapshots.patch(scene.key('fixed'), [{ op: 'replace', path: '/spec/deletionPolicy', value: 'Retain' }])
    expect((await scene.get('fixed'))?.spec.deletionPolicy).toBe('Retain')
  })

  test('is found by node and by snapshot name', async () => {
    await scene.create('elsewhere', { nodeName: 'node-2', snapshotName: 'group/fixed' })
    const found = async (selector: string) =>
      (
        await scene.cluster.kubectl([
          'get',
          'vmsnap',
          '-n',
          scene.namespace,
          '-o',
          'name',
          '--field-selector',
          selector,
        ])
      )
        .trim()
        .split('\n')
        .map((line) => line.split('/')[1])
    expect(await found('spec.nodeName=node-2')).toEqual(['elsewhere'])
    expect(await found('spec.snapshotName=group/fixed')).toEqual(['elsewhere', 'fixed'])
  })

  test('is waited for and listed by kubectl', async () => {
    const object = await scene.create('shown', { nodeName: 'node-1', snapshotName: 'shown' })
    await writeStatus('shown', {
      conditions: [
        condition('Exists', 'True', 'AllFilesPresent'),
        condition('Restorable', 'True', 'Restorable'),
        condition('Ready', 'True', 'Ready'),
      ],
      snapshot: snapshotStatusOf(aReport({ allocatedBytes: 5_368_709_120 })),
    })
    expect(object.metadata.finalizers).toBeUndefined()
    await scene.cluster.kubectl([
      'wait',
      '-n',
      scene.namespace,
      'vmsnap/shown',
      '--for=condition=Ready',
      '--timeout=10s',
    ])
    const rows = async (...options: readonly string[]) =>
      (await scene.cluster.kubectl(['get', 'vmsnap', '-n', scene.namespace, 'shown', ...options]))
        .trim()
        .split('\n')
        .map((line) => line.split(/\s{2,}/))
    const [header, row] = await rows()
    expect(header).toEqual(['NAME', 'NODE', 'EXISTS', 'READY', 'FORMAT', 'SIZE', 'AGE'])
    expect(row?.slice(0, -1)).toEqual(['shown', 'node-1', 'True', 'True', 'Full', '5Gi'])
    const [wide] = await rows('-o', 'wide')
    expect(wide).toEqual([...(header ?? []), 'SNAPSHOT', 'DIFFS', 'REASON'])
  })

  test('stays under 16 KiB whatever its directory holds', async () => {
    const object = await scene.create(
      'huge',
      { nodeName: 'n'.repeat(253), snapshotName: 'a/b/c/d' },
      { finalizers: ['vmsnapshot.io/directory'] },
    )
    const storage = { kind: 'ready', storageID: '0d9ead78-00cb-4fdb-b121-41c0f504c7dd', retiredStorageIDs: [] } as const
    const blocked = { kind: 'blocked', reason: 'InUse', message: '\u0001'.repeat(5_000) } as const
    const { conditions, ...status } = statusOf({ object, claims: [], storage, report: worstReport() }, blocked)
    const lastTransitionTime = '2026-01-01T00:00:00Z'
    await writeStatus('huge', { ...status, conditions: conditions.map((found) => ({ ...found, lastTransitionTime })) })
    const path = `/apis/vmsnapshot.io/v1alpha1/namespaces/${scene.namespace}/vmsnapshots/huge`
    const stored = JSON.stringify(await scene.connection.request({ method: 'GET', path }))
    expect(stored).toContain('diffFileCount')
    expect(Buffer.byteLength(stored)).toBeLessThan(16 * 1024)
  })
})

describe('the server takes', () => {
  const dryRun = { fieldManager: 'test', force: 'true', dryRun: 'All', fieldValidation: 'Strict' }
  const contentType = 'application/apply-patch+yaml'
  const lastTransitionTime = '2026-01-01T00:00:00Z'

  test('every status that an agent could write', async () => {
    const object = await scene.create('any', { nodeName: 'node-1', snapshotName: 'snap' })
    const path = `/apis/vmsnapshot.io/v1alpha1/namespaces/${scene.namespace}/vmsnapshots/any/status`
    for (const seen of fc.sample(observed, 40)) {
      const { conditions, ...status } = statusOf(seen, undefined)
      const stamped = { ...status, conditions: conditions.map((found) => ({ ...found, lastTransitionTime })) }
      const body = applyBody(object, { status: stamped })
      await scene.connection.request({ method: 'PATCH', path, query: dryRun, contentType, body })
    }
  })

  test('an inventory of the longest names', async () => {
    const found = {
      name: 'ä'.repeat(1_000),
      allocatedBytes: Number.MAX_SAFE_INTEGER,
      format: 'Cow',
      firstSeenAtMs: 0,
    } as const
    const total = { directories: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER }
    const largest = Array.from({ length: UNCLAIMED_LIMIT }, () => found)
    const trash = { ...total, oldestAtMs: 0 }
    const unreadable = { directories: Number.MAX_SAFE_INTEGER, first: largest.map(({ name }) => name) }
    const inventory = { kind: 'inventory', claimed: total, unclaimed: total, trash, largest, unreadable } as const
    const status = withInventory({}, inventory, [])
    const name = `inventory-of-${scene.namespace}`
    const object = await scene.nodes.create({ ...vmSnapshotNodeKind, metadata: { name } })
    const path = `/apis/vmsnapshot.io/v1alpha1/vmsnapshotnodes/${name}/status`
    const body = applyBody(object, { status })
    const stored = await scene.connection.request({ method: 'PATCH', path, query: dryRun, contentType, body })
    expect(stored).toMatchObject({ status })
    await scene.nodes.delete(name)
  })
})

test('kubectl explain documents the fields', async () => {
  const text = await scene.cluster.kubectl(['explain', 'vmsnapshot.spec.deletionPolicy'])
  expect(text).toContain('works as a brake')
  expect(await scene.cluster.kubectl(['explain', 'vmsnapnode.spec.retireStorageID'])).toContain('given up')
  expect(await scene.cluster.kubectl(['explain', 'vmsnapset.spec.nodeSelector'])).toContain('every node with an agent')
})

function condition(type: string, status: string, reason: string) {
  return { type, status, reason, message: 'set by a test', lastTransitionTime: '2026-01-01T00:00:00Z' }
}

async function writeStatus(name: string, status: object): Promise<void> {
  const object = await scene.get(name)
  if (object === undefined) throw new Error(`${name} is not there`)
  const options = { fieldManager: 'test', force: true, subresource: 'status' } as const
  await scene.snapshots.apply(scene.key(name), applyBody(object, { status }), options)
}
