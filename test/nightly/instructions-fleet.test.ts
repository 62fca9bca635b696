// Instructions of docs/reasons.md and docs/operations.md that need a controller, its own cluster, or rights that are taken away.

import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { API_VERSION, GROUP } from '../../src/api/group.ts'
import { type Reason, reasons } from '../../src/api/reasons.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { childName } from '../../src/controller/child.ts'
import type { APIError } from '../../src/kube/connection.ts'
import { FleetScene } from '../support/fleet-scene.ts'
import { baseDirectoryInstructions } from '../support/instructions/base-directory.ts'
import { deletionInstructions } from '../support/instructions/deletions.ts'
import { exceptions } from '../support/instructions/exceptions.ts'
import { snapshotInstructions } from '../support/instructions/snapshots.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { until } from '../support/until.ts'

const deadline = { deadlineMs: 60_000 }
const unlessNotFound = (error: Partial<APIError>) => {
  if (error.kind !== 'NotFound') throw error
  return undefined
}
let scene: FleetScene
beforeAll(async () => {
  scene = await FleetScene.open()
  await scene.startController()
})
afterAll(() => scene.close())

const fresh = (name: string) => `${name}-${randomUUID().slice(0, 8)}`
const kubectl = (...args: readonly string[]) => scene.cluster.kubectl(args)
const find = (name: string): Promise<VMSnapshot | undefined> =>
  scene.snapshots.get(`default/${name}`).catch(unlessNotFound)
const reason = (name: string, type: string, expected: Reason) => scene.reason(() => find(name), type, expected)
const gone = (name: string) =>
  until(
    `${name} is gone`,
    () => find(name),
    (object) => object === undefined,
    deadline,
  )
const ofNode = (node: string, type: string, expected: Reason) => scene.reason(() => scene.record(node), type, expected)
const ofSet = (set: string, expected: Reason) => scene.reason(() => scene.set(`default/${set}`), 'Ready', expected)

/** A command of a document, as a shell runs it. */
function shell(command: string): string {
  const { binaries } = scene.cluster.coordinates
  const env = {
    PATH: `${binaries}:${process.env.PATH}`,
    KUBECONFIG: scene.cluster.adminKubeconfig,
    HOME: scene.directory,
  }
  return execFileSync('sh', ['-ec', command], { env, encoding: 'utf8', cwd: scene.directory })
}

async function addNode(withAgent = true): Promise<string> {
  const node = fresh('node')
  await scene.addNode(node, { pool: node })
  if (withAgent) {
    await scene.startAgent(node)
    await ofNode(node, 'StorageReady', 'StorageReady')
  }
  return node
}

async function describe(node: string, name: string, metadata: object = {}): Promise<void> {
  const spec = { nodeName: node, snapshotName: name }
  await scene.snapshots.create(
    { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name, ...metadata }, spec },
    'default',
  )
}

/** A whole snapshot and its object. */
async function addSnapshot(node: string): Promise<string> {
  const name = fresh('snap')
  writeSnapshot(scene.baseDir(node), name)
  await describe(node, name)
  await reason(name, 'Ready', 'Ready')
  return name
}

async function createSet(node: string): Promise<string> {
  const set = fresh('set')
  await scene.createSet(`default/${set}`, { nodeSelector: { matchLabels: { pool: node } } })
  return set
}

const followed: Partial<Record<Reason, readonly [advice: string, play: () => Promise<void>][]>> = {
  StorageShared: [
    [
      'set spec.retireStorageID of one of the two',
      async () => {
        const [first, second] = [await addNode(), await addNode(false)]
        const filter = (path: string) => !path.endsWith('agent.lock')
        cpSync(scene.baseDir(first), scene.baseDir(second), { recursive: true, filter })
        await scene.startAgent(second)
        for (const node of [first, second]) await ofNode(node, 'StorageShared', 'StorageShared')
        // From docs/operations.md.
        shell(
          `kubectl patch vmsnapnode ${second} --type=merge -p "{\\"spec\\":{\\"retireStorageID\\":\\"$(kubectl get vmsnapnode ${second} -o jsonpath='{.status.storageID}')\\"}}"`,
        )
        for (const node of [first, second]) {
          const look = async () => (await scene.record(node))?.status?.conditions?.map(({ type }) => type)
          await until('shares no more', look, (types) => types?.includes('StorageShared') === false, deadline)
        }
      },
    ],
  ],
  OwnerUnknown: [
    ['check the API server: the agent may read sets again', () => withoutRight('vmsnapshotsets', 'OwnerUnknown')],
  ],
  DefinitionUnknown: [
    ['check the RBAC of the agent', () => withoutRight('customresourcedefinitions', 'DefinitionUnknown')],
  ],
  AgentNotReady: [
    [
      'look at the Pod and its log',
      async () => {
        const node = await addNode()
        await scene.setAgentReady(node, false)
        await ofNode(node, 'AgentReady', 'AgentNotReady')
        await scene.setAgentReady(node, true)
        await ofNode(node, 'AgentReady', 'AgentReady')
      },
    ],
  ],
  AgentMissing: [
    [
      'check the DaemonSet: a Pod comes back',
      async () => {
        const node = await addNode()
        await scene.removeAgentPod(node)
        await ofNode(node, 'AgentReady', 'AgentMissing')
        await scene.addAgentPod(node)
        await ofNode(node, 'AgentReady', 'AgentReady')
      },
    ],
  ],
  NodeAbsent: [
    [
      'spec.nodeName cannot be changed: delete the VMSnapshot and create another one',
      async () => {
        const node = await addNode()
        const name = fresh('mistyped')
        writeSnapshot(scene.baseDir(node), name)
        await describe(`${node}-mistyped`, name)
        await reason(name, 'Ready', 'NodeAbsent')
        await kubectl('delete', 'vmsnap', name)
        await describe(node, name)
        await reason(name, 'Ready', 'Ready')
      },
    ],
  ],
  NodeOutOfService: [
    [
      'take the taint away once the node is back',
      async () => {
        const node = await addNode()
        await kubectl('taint', 'node', node, 'node.kubernetes.io/out-of-service=nodeshutdown:NoExecute')
        await ofNode(node, 'AgentReady', 'NodeOutOfService')
        await kubectl('taint', 'node', node, 'node.kubernetes.io/out-of-service-')
        await ofNode(node, 'AgentReady', 'AgentReady')
      },
    ],
  ],
  NoNodes: [
    [
      'check the selector: a node gets the label',
      async () => {
        const node = await addNode()
        const set = fresh('set')
        writeSnapshot(scene.baseDir(node), set)
        await scene.createSet(`default/${set}`, { nodeSelector: { matchLabels: { wanted: set } } })
        await ofSet(set, 'NoNodes')
        await kubectl('label', 'node', node, `wanted=${set}`)
        await ofSet(set, 'Ready')
        await scene.deleteSet(`default/${set}`)
      },
    ],
  ],
  CopiesNotReady: [
    [
      'look at that VMSnapshot and follow its reason',
      async () => {
        const node = await addNode()
        const set = await createSet(node)
        const message = async () => JSON.stringify((await scene.set(`default/${set}`))?.status?.conditions ?? [])
        await until('the set names the reason', message, (text) => text.includes('DirectoryAbsent'), deadline)
        writeSnapshot(scene.baseDir(node), set)
        await ofSet(set, 'Ready')
        await scene.deleteSet(`default/${set}`)
      },
    ],
  ],
  NameNotOwned: [
    [
      'delete the object that the message names',
      async () => {
        const node = await addNode()
        const set = fresh('set')
        const name = childName(set, node)
        const spec = { nodeName: node, snapshotName: `${set}-other` }
        await scene.snapshots.create(
          { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name }, spec },
          'default',
        )
        writeSnapshot(scene.baseDir(node), set)
        await scene.createSet(`default/${set}`, { nodeSelector: { matchLabels: { pool: node } } })
        const look = async () => JSON.stringify((await scene.set(`default/${set}`))?.status ?? {})
        await until('the name is taken', look, (status) => status.includes('NameNotOwned'), deadline)
        await kubectl('delete', 'vmsnap', name)
        await ofSet(set, 'Ready')
        await scene.deleteSet(`default/${set}`)
      },
    ],
  ],
}

/** The agent's ClusterRole loses a resource, and gets it back. */
async function withoutRight(resource: string, expected: Reason): Promise<void> {
  const node = await addNode()
  const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles/vmsnapshot-agent'
  const role = (await scene.connection.request({ method: 'GET', path })) as { rules: { resources?: string[] }[] }
  const rules = role.rules.filter(({ resources }) => resources?.includes(resource) !== true)
  expect(rules.length).toBeLessThan(role.rules.length)
  const set = await createSet(node)
  writeSnapshot(scene.baseDir(node), set)
  await ofSet(set, 'Ready')
  const name = childName(set, node)
  await scene.merge(path, { rules })
  try {
    await scene.snapshots.delete(`default/${name}`)
    await reason(name, 'DeletionBlocked', expected)
  } finally {
    await scene.merge(path, { rules: role.rules })
  }
  await scene.deleteSet(`default/${set}`)
  await scene.setGone(`default/${set}`)
}

const cases = Object.entries(followed).flatMap(([name, plays]) =>
  plays.map(([advice, play]) => [name, advice, play] as const),
)

test.each(cases)('%s: %s', { timeout: 180_000 }, (_, __, play) => play())

test('every reason that tells to change something has an instruction that is followed here, or an exception with the cause', () => {
  const tables = [...snapshotInstructions, ...baseDirectoryInstructions, ...deletionInstructions]
  const known = new Set<string>([
    ...tables.map(({ reason: of }) => of),
    ...Object.keys(followed),
    ...Object.keys(exceptions),
    ...inTests,
  ])
  const changesNothing = /^Nothing|^Wait\.$|^Wait; DeletionBlocked|^Wait for the agent\./
  const telling = Object.entries(reasons).filter(([, { whatToDo }]) => !changesNothing.test(whatToDo))
  expect(telling.map(([name]) => name).filter((name) => !known.has(name))).toEqual([])
})

/** Followed in tests of their own below. */
const inTests: readonly Reason[] = ['CRDTerminating']

test('operations: an unclaimed directory goes by a VMSnapshot that is made for it and deleted', async () => {
  const node = await addNode()
  writeSnapshot(scene.baseDir(node), 'teams/one/forgotten')
  const unclaimed = async () =>
    (await scene.record(node))?.status?.unclaimed?.map(({ snapshotName }) => snapshotName) ?? []
  await until('it is unclaimed', unclaimed, (names) => names.includes('teams/one/forgotten'), deadline)
  const object = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata: { name: 'old', namespace: 'default' } }
  const spec = { nodeName: node, snapshotName: 'teams/one/forgotten' }
  shell(`kubectl create -f - <<END\n${JSON.stringify({ ...object, spec })}\nEND\nkubectl delete vmsnap old`)
  expect(existsSync(join(scene.baseDir(node), 'teams/one/forgotten'))).toBe(false)
  await until('it is unclaimed no more', unclaimed, (names) => !names.includes('teams/one/forgotten'), deadline)
})

test('operations: the same content on a new disk is the same storage', async () => {
  const node = await addNode()
  const name = await addSnapshot(node)
  const base = scene.baseDir(node)
  execFileSync('cp', ['-a', base, `${base}-new`])
  rmSync(base, { recursive: true })
  execFileSync('mv', [`${base}-new`, base])
  await kubectl('delete', 'vmsnap', name)
  expect(existsSync(join(base, name))).toBe(false)
})

test('operations: Retain, and the finalizer taken away by hand, end a deletion', async () => {
  const node = await addNode()
  const [name, other] = [fresh('kept'), fresh('kept')]
  for (const each of [name, other]) {
    mkdirSync(join(scene.baseDir(node), each))
    writeFileSync(join(scene.baseDir(node), each, 'kernel'), 'x')
    await describe(node, each)
    await reason(each, 'Exists', 'FilesMissing')
    await scene.snapshots.delete(`default/${each}`)
    await reason(each, 'DeletionBlocked', 'NotASnapshot')
  }
  shell(`kubectl patch vmsnap ${name} --type=merge -p '{"spec":{"deletionPolicy":"Retain"}}'`)
  await gone(name)
  const path = '/metadata/finalizers/0'
  shell(
    `kubectl patch vmsnap ${other} --type=json -p '[{"op":"test","path":"${path}","value":"vmsnapshot.io/directory"},{"op":"remove","path":"${path}"}]'`,
  )
  await gone(other)
  for (const each of [name, other]) expect(existsSync(join(scene.baseDir(node), each, 'kernel'))).toBe(true)
})

test('operations: objects are restored without owners, and nothing is removed', async () => {
  const node = await addNode()
  const owner = (await scene.connection.request({
    method: 'POST',
    path: '/api/v1/namespaces/default/configmaps',
    body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: fresh('owner') } },
  })) as { metadata: { name: string; uid: string } }
  const name = fresh('owned')
  writeSnapshot(scene.baseDir(node), name)
  await describe(node, name, { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', ...named(owner) }] })
  await reason(name, 'Ready', 'Ready')
  shell(
    "kubectl get vmsnapset -A -o json > sets.json; kubectl get vmsnap -A -l '!vmsnapshot.io/set' -o json > snapshots.json",
  )
  // The cluster is lost: neither owner nor object is there, the directory is.
  await scene.merge(`/apis/${API_VERSION}/namespaces/default/vmsnapshots/${name}`, {
    spec: { deletionPolicy: 'Retain' },
  })
  await kubectl('delete', 'vmsnap', name)
  await kubectl('delete', 'configmap', owner.metadata.name)
  shell(
    `jq '.items |= map(select(.metadata.name == "${name}"))' snapshots.json > one.json; jq '.items |= map({apiVersion, kind, metadata: (.metadata | {name, namespace, labels, annotations}), spec})' one.json | kubectl create -f -`,
  )
  await reason(name, 'Ready', 'Ready')
  const owners = shell(
    `kubectl get vmsnap,vmsnapset -A -o json | jq -r '.items[] | select(.metadata.ownerReferences) | [.kind, .metadata.namespace, .metadata.name, .metadata.ownerReferences[].uid] | @tsv'`,
  )
  expect(owners).not.toContain(name)
  expect(existsSync(join(scene.baseDir(node), name, 'snapfile'))).toBe(true)
})

function named({ metadata: { name, uid } }: { metadata: { name: string; uid: string } }) {
  return { name, uid }
}

// The last one: nothing can be created while the definition goes.
test('CRDTerminating: set deletionPolicy to Retain', { timeout: 180_000 }, async () => {
  const node = await addNode()
  const name = await addSnapshot(node)
  await kubectl('annotate', 'crd', `vmsnapshots.${GROUP}`, `${GROUP}/allow-deletion=true`)
  await kubectl('delete', 'crd', `vmsnapshots.${GROUP}`, '--wait=false')
  await reason(name, 'DeletionBlocked', 'CRDTerminating')
  shell(`kubectl patch vmsnap ${name} --type=merge -p '{"spec":{"deletionPolicy":"Retain"}}'`)
  await gone(name)
  expect(existsSync(join(scene.baseDir(node), name, 'snapfile'))).toBe(true)
})
