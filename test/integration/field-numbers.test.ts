// Numbers and texts of any kind in status, and objects that cannot be parsed, on the real API server.
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodeStatusOf } from '../../src/agent/node-status.ts'
import { statusOf } from '../../src/agent/status.ts'
import type { Draft } from '../../src/api/condition.ts'
import { API_VERSION, STATUS_FIELD_MANAGER } from '../../src/api/group.ts'
import { LARGEST_COUNT } from '../../src/api/quantity.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { vmSnapshotNodeKind } from '../../src/api/vmsnapshotnode.ts'
import { type VMSnapshotSet, vmSnapshotSetKind, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { Aggregate } from '../../src/controller/aggregate.ts'
import { applyBody, type KubeObject, semanticallyEqual, stampTransitions } from '../../src/kube/object.ts'
import { Client } from '../../src/kube/resource.ts'
import { look } from '../support/arbitraries.ts'
import { canMount, Mounts } from '../support/mounts.ts'
import { oddNumber, oddText, withOddValues } from '../support/odd-values.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

let scene: Scene
let sets: Client<VMSnapshotSet>
beforeAll(async () => {
  scene = await Scene.open()
  sets = new Client(scene.connection, vmSnapshotSetResource)
})
afterAll(() => scene.close())

const odd = fc.record({
  numbers: fc.array(oddNumber, { minLength: 3, maxLength: 9 }),
  texts: fc.array(oddText, { minLength: 3, maxLength: 9 }),
})
const options = { fieldManager: STATUS_FIELD_MANAGER, force: true, subresource: 'status' } as const

type Written = KubeObject & { readonly status?: object | undefined }

/** What is wrong with a status after it was written and read back; undefined: nothing. */
async function faultOf<T extends Written>(client: Client<T>, object: T, draft: Draft<{ conditions?: unknown }>) {
  const key = object.metadata.namespace === undefined ? object.metadata.name : scene.key(object.metadata.name)
  try {
    await client.apply(key, applyBody(object, { status: stampTransitions(draft, undefined, new Date()) }), options)
    const { status } = await client.get(key)
    return semanticallyEqual(status, draft) ? undefined : { written: draft, read: status }
  } catch (error) {
    return { written: draft, error: String(error) }
  }
}

describe('every status that an agent can write is accepted and read back equal', () => {
  test('of a VMSnapshot', async () => {
    const reports = fc.sample(fc.tuple(look, odd), { numRuns: 150 })
    const faults = await Promise.all(
      reports.map(async ([report, { numbers, texts }], index) => {
        const name = `odd-${index}`
        const object = await scene.create(name, { nodeName: 'node-of-nobody', snapshotName: name })
        const storage = { kind: 'ready', storageID: randomUUID(), retiredStorageIDs: [] } as const
        const seen = { object, claims: [], storage, report: withOddValues(report, numbers, texts) }
        const draft = statusOf(seen, { kind: 'blocked', reason: 'IOError', message: texts[0] ?? '' })
        return faultOf(scene.snapshots, object, draft)
      }),
    )
    expect(faults.find((fault) => fault !== undefined)).toBeUndefined()
  })

  test('of a VMSnapshotNode', async () => {
    const storageID = randomUUID()
    const storage = { kind: 'ready', storageID, fileSystemType: 'ext4', isMountPoint: true } as const
    const sizes = { totalBytes: 1, availableBytes: 1, totalInodes: 1, availableInodes: 1 }
    const total = { directories: 1, bytes: 1 }
    const inventory = {
      kind: 'inventory',
      claimed: total,
      unclaimed: total,
      trash: { ...total, oldestAtMs: 1 },
      largest: [{ name: 'a', allocatedBytes: 1, format: 'Cow', firstSeenAtMs: 1 }],
      unreadable: { directories: 1, first: ['a', 'b'] },
    } as const
    const reports = fc.sample(odd, { numRuns: 40 })
    const faults = await Promise.all(
      reports.map(async ({ numbers, texts }) => {
        const name = `odd-${randomUUID()}`
        const node = await scene.nodes.create({ ...vmSnapshotNodeKind, metadata: { name } })
        const draft = nodeStatusOf({
          node,
          storage: withOddValues({ ...storage, ...sizes }, numbers, texts),
          verdict: { kind: 'ready', storageID, retiredStorageIDs: [] },
          baseDir: texts[0] ?? '',
          agent: { version: '1', nodeUID: undefined },
          taken: { storageID, inventory: withOddValues(inventory, numbers, texts), takenAtMs: 0 },
          nameTaken: [{ uid: randomUUID(), name: texts[1] ?? '' }],
        })
        return faultOf(scene.nodes, node, draft)
      }),
    )
    expect(faults.find((fault) => fault !== undefined)).toBeUndefined()
  })

  test('of a copy and of its set, as a leader writes them', async () => {
    const samples = fc.sample(odd, { numRuns: 20 })
    const faults = await Promise.all(
      samples.map(async ({ texts }, index) => {
        const name = `odd-${index}`
        const spec = { nodeSelector: {}, template: { snapshotName: name } }
        const set = await sets.create({ ...vmSnapshotSetKind, metadata: { name }, spec }, scene.namespace)
        const aggregate = new Aggregate()
        const reason = 'IOError'
        const message = texts[1] ?? ''
        const row = { isDesired: true, exists: true, ready: false, reason, size: '1.2Gi', blocked: { reason, message } }
        for (const node of [`node-${index}`, 'n'.repeat(253)]) aggregate.put(node, row)
        return faultOf(sets, set, aggregate.statusOf(set))
      }),
    )
    expect(faults.find((fault) => fault !== undefined)).toBeUndefined()
  })
})

describe('an agent whose objects have numbers that the server takes and no program reads back exactly', () => {
  const tooLarge = 2 ** 63 - 1024

  async function statusOfNode(name: string): Promise<Record<string, unknown>> {
    const answer = await scene.connection.request({ method: 'GET', path: nodePath(name) })
    return (answer as { status?: Record<string, unknown> }).status ?? {}
  }

  test('goes on, keeps the identity of its disk, and writes numbers that can be read', async () => {
    const node = await scene.addNode()
    writeSnapshot(node.baseDir, 'a')
    const agent = node.start()
    await scene.create('numbers', { nodeName: node.name, snapshotName: 'a' })
    await scene.reason('numbers', 'Ready', 'Ready')
    const { storageID } = await statusOfNode(node.name)
    const counts = { totalBytes: tooLarge, availableBytes: tooLarge, totalInodes: tooLarge, claimedBytes: tooLarge }
    await mergeStatus(nodePath(node.name), counts)
    await mergeStatus(snapshotPath('numbers'), { snapshot: { allocatedBytes: tooLarge, apparentBytes: tooLarge } })
    const isRepaired = (status: Record<string, unknown>) => Number(status.totalBytes) < tooLarge
    const repaired = await until('the counts are written over', () => statusOfNode(node.name), isRepaired)
    expect(repaired.storageID).toBe(storageID)
    const readable = async () => (await scene.get('numbers'))?.status?.snapshot?.allocatedBytes
    await until('the sizes are written over', readable, (bytes) => bytes !== undefined && bytes < tooLarge)
    expect(agent.log).toContain('part of an object cannot be read')
    expect(agent.log).not.toContain('list or watch failed')
    await scene.delete('numbers')
    await scene.gone('numbers')
    expect(existsSync(node.path('a'))).toBe(false)
    await agent.end('SIGKILL')
  })

  test.skipIf(!canMount)('reports and removes two sparse files of 7 EiB, and writes the same status once', async () => {
    using mounts = new Mounts()
    const node = await scene.addNode()
    mounts.tmpfs(node.baseDir)
    const directory = writeSnapshot(node.baseDir, 'sparse')
    for (const name of ['one', 'two']) execFileSync('truncate', ['--size=7E', join(directory, name)])
    const agent = node.start()
    await scene.create('sparse', { nodeName: node.name, snapshotName: 'sparse' })
    await scene.reason('sparse', 'Ready', 'Ready')
    const { status, metadata } = (await scene.get('sparse')) as VMSnapshot
    expect(status?.snapshot?.apparentBytes).toBe(LARGEST_COUNT)
    rmSync(join(directory, 'snapfile'))
    await scene.reason('sparse', 'Ready', 'FilesMissing')
    expect((await scene.get('sparse'))?.metadata.uid).toBe(metadata.uid)
    await scene.delete('sparse')
    await scene.gone('sparse')
    expect(existsSync(directory)).toBe(false)
    await agent.end('SIGKILL')
  })
})

const nodePath = (name: string) => `/apis/${API_VERSION}/vmsnapshotnodes/${name}`
const snapshotPath = (name: string) => `/apis/${API_VERSION}/namespaces/${scene.namespace}/vmsnapshots/${name}`

async function mergeStatus(path: string, status: object): Promise<void> {
  const contentType = 'application/merge-patch+json'
  await scene.connection.request({ method: 'PATCH', path: `${path}/status`, body: { status }, contentType })
}
