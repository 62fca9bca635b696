// What others do at the wrong moment: a garbage collector that is behind (its part is played by hand), and one leader of two in the middle of
// its work, killed, and stopped for longer than its Lease. Who wrote what is in the audit log.
// The nodes have no agents: a copy is an object, and that is all there is to count.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { controllingSet } from '../../src/controller/child.ts'
import { type Asked, askedBy } from '../support/audit.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import type { Replica } from '../support/replica.ts'
import { metricsOf, served } from '../support/served.ts'
import { until } from '../support/until.ts'

const account = 'system:serviceaccount:vmsnapshot-system:vmsnapshot-controller'
const nodes = Array.from({ length: 20 }, (_, index) => `node-${index}`)
const names = Array.from({ length: 50 }, (_, index) => `set-${index}`)
const slow = { deadlineMs: 120_000 }
const long = { timeout: 300_000 }
/** Copies that a controller makes at a time. */
const atOnce = 16

let fleet: FleetScene
let leader: Replica
let standby: Replica

beforeAll(async () => {
  fleet = await FleetScene.open({ audit: [account], controllerManager: false })
  await Promise.all(nodes.map(addNode))
  await Promise.all(['first', 'second', 'third'].map((name) => fleet.addNamespace(name)))
})
afterAll(() => fleet.close())

async function addNode(name: string): Promise<void> {
  await fleet.addNode(name)
  await fleet.records.create({ apiVersion: API_VERSION, kind: 'VMSnapshotNode', metadata: { name }, spec: {} })
}

/** It serves, and follows the cluster; whether it leads is another matter. */
async function startReplica(): Promise<Replica> {
  const replica = await fleet.startController(['--listen-address=127.0.0.1:0'])
  const look = () => served(replica, '/readyz')
  expect(await until('it is ready', look, ({ status }) => status === 200, slow)).toEqual({ status: 200, text: 'ok\n' })
  return replica
}

async function leads(replica: Replica): Promise<void> {
  const isLeading = async () => (await metricsOf(replica)).get('vmsnapshot_leading')
  await until('it leads', isLeading, (value) => value === 1, slow)
}

async function expand(namespace: string): Promise<void> {
  await Promise.all(names.map((name) => fleet.createSet(`${namespace}/${name}`)))
}

/** Copies that there are. */
async function count(): Promise<number> {
  const path = `/apis/${API_VERSION}/vmsnapshots`
  const answer = await fleet.connection.request({ method: 'GET', path, query: { limit: '1' } })
  const { items, metadata } = answer as { items: unknown[]; metadata: { remainingItemCount?: number } }
  return items.length + (metadata.remainingItemCount ?? 0)
}

function counted(what: string, isIt: (copies: number) => boolean): Promise<number> {
  return until(what, count, isIt, { ...slow, intervalMs: 10 })
}

/** One copy of each set on each node, and no other. */
async function expectWhole(namespace: string): Promise<void> {
  const children = await fleet.snapshots.list({ namespace })
  const found = children.map(
    (child) => `${controllingSet({ ...child, policyIsOurs: true })?.name} ${child.spec.nodeName}`,
  )
  expect(found.sort()).toEqual(names.flatMap((name) => nodes.map((node) => `${name} ${node}`)).sort())
}

function writesOf({ credential }: Replica): readonly Asked[] {
  const asked = askedBy(account, fleet.controlPlane.auditLog)
  return asked.filter(
    (one) => one.credential === credential && ['create', 'update', 'patch', 'delete'].includes(one.verb),
  )
}

/** When it took or renewed the Lease. */
function termsOf(replica: Replica): readonly number[] {
  return writesOf(replica)
    .filter(({ resource }) => resource === 'leases')
    .filter(succeeded)
    .map(({ atMs }) => atMs)
}

const succeeded = ({ code }: Asked) => code < 300
const described = (asked: Asked) => Object.values(asked).join(' ')

test('copies that the garbage collector has missed are left behind all the same', async () => {
  leader = await startReplica()
  await leads(leader)
  await fleet.createSet('third/missed')
  await counted('all copies are made', (copies) => copies === nodes.length)
  await fleet.counts('third/missed', '20/0/0')
  await fleet.deleteSet('third/missed', 'Orphan')
  // One whose picture is old finds no copy to orphan, and is done.
  const { finalizers = [] } = (await fleet.sets.get('third/missed')).metadata
  const path = `/metadata/finalizers/${finalizers.indexOf('orphan')}`
  await fleet.sets.patch('third/missed', [
    { op: 'test', path, value: 'orphan' },
    { op: 'remove', path },
  ])
  await fleet.setGone('third/missed')
  const orphans = await fleet.snapshots.list({ namespace: 'third' })
  expect(orphans.map(({ spec }) => spec.nodeName).sort()).toEqual([...nodes].sort())
  for (const { metadata } of orphans) {
    expect([metadata.ownerReferences ?? [], metadata.deletionTimestamp]).toEqual([[], undefined])
    await fleet.snapshots.delete(`third/${metadata.name}`)
  }
})

test(
  'where the leader is killed while it makes a thousand copies, the other one makes what is missing',
  long,
  async () => {
    standby = await startReplica()
    const told = await metricsOf(standby)
    expect([told.get('vmsnapshot_leading'), told.get('vmsnapshot_queue_depth{loop="copies"}')]).toEqual([0, 0])
    await expand('first')
    await counted('a fifth of the copies are made', (copies) => copies >= 200)
    await leader.end('SIGKILL')
    const killedAt = Date.now()
    expect(await count()).toBeLessThan(1_000)
    await counted('all copies are made', (copies) => copies === 1_000)
    await leads(standby)
    for (const name of names) await fleet.counts(`first/${name}`, '20/0/0', slow.deadlineMs)
    await expectWhole('first')
    const creations = [leader, standby].map((replica) =>
      writesOf(replica).filter(
        ({ verb, resource, namespace }) => verb === 'create' && resource === 'vmsnapshots' && namespace === 'first',
      ),
    )
    const [before = [], after = []] = creations.map((all) => all.filter(succeeded))
    // What was under way when the process was killed may have been made, and nobody was told so.
    const made = before.length + after.length
    expect(made).toBeLessThanOrEqual(1_000)
    expect(made).toBeGreaterThanOrEqual(1_000 - atOnce)
    const idleMs = Math.min(...after.map(({ atMs }) => atMs)) - killedAt
    console.log(
      `killed after ${before.length} of 1,000 copies; the next one went on after ${(idleMs / 1000).toFixed(1)} s of a Lease of 5 s`,
    )
  },
)

test(
  'of a leader that is stopped for longer than its Lease no write takes effect later, but for a create that was all but sent',
  long,
  async () => {
    const stopped = standby
    const successor = await startReplica()
    await expand('second')
    await counted('a fifth of the copies are made', (copies) => copies >= 1_200)
    process.kill(stopped.pid, 'SIGSTOP')
    expect(await count()).toBeLessThan(2_000)
    await leads(successor)
    await counted('all copies are made', (copies) => copies === 2_000)
    await expectWhole('second')
    // Whatever it still has in hand would be wrong from here on.
    await Promise.all(names.map((name) => fleet.deleteSet(`second/${name}`)))
    await counted('the copies are deleted', (copies) => copies === 1_000)
    process.kill(stopped.pid, 'SIGCONT')
    await until(
      'it stands by',
      () => metricsOf(stopped),
      (seen) => seen.get('vmsnapshot_leading') === 0 && seen.get('vmsnapshot_sets{state="not_ready"}') === 50,
      slow,
    )
    await until(
      'its passes have ended',
      () => stopped.log,
      (log) => log.includes('no longer leading'),
      slow,
    )
    expect((await served(stopped, '/readyz')).status).toBe(200)
    await leads(successor)
    const takenAt = Math.min(...termsOf(successor))
    const late = writesOf(stopped).filter(({ atMs }) => atMs > takenAt)
    // Between the last look at its term and the write of a request lies an instant in which the process may have been stopped. A create alone has no
    // resourceVersion to be held against: it makes a child of a set that is gone, which no agent takes under its finalizer.
    const made = late.filter((one) => succeeded(one) && one.verb === 'create' && one.resource === 'vmsnapshots')
    console.log(`stopped, succeeded, continued: ${late.length} late writes were tried, ${made.length} copies made`)
    expect(late.filter((one) => succeeded(one) && !made.includes(one)).map(described)).toEqual([])
    expect(made.length).toBeLessThanOrEqual(1)
    // Where its set still waits for its last copy, the successor has deleted the late one with it.
    expect((await fleet.snapshots.list({ namespace: 'second' })).length).toBeLessThanOrEqual(made.length)
    await expectWhole('first')
    for (const replica of [successor, stopped]) expect(await replica.end()).toMatchObject({ code: 0 })
  },
)
