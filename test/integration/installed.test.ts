// What Helm installed, at work: agent and both replicas of the controller, through an upgrade. Then what they asked of the API server against
// what their roles allow.
import { existsSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION } from '../../src/api/group.ts'
import { type Manifest, manifestsOf } from '../controlplane/install.ts'
import { Installation } from '../support/installation.ts'
import type { ProgramProcess } from '../support/program-process.ts'
import type { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

let installation: Installation
let scene: Scene

beforeAll(async () => {
  installation = await Installation.open()
  scene = installation.scene
})
afterAll(() => installation?.close())

const isOnDisk = (name: string) => existsSync(installation.path(name, 'snapfile'))
const controllers = () => installation.kubelet.processes('vmsnapshot-controller')

describe('the agent', () => {
  test('reports a snapshot of its node, and removes it', async () => {
    await installation.snapshot('plain')
    await scene.reason('plain', 'Ready', 'Ready')
    await scene.delete('plain')
    await scene.gone('plain')
    expect(existsSync(installation.path('plain'))).toBe(false)
  })

  test('keeps a snapshot whose policy says so', async () => {
    await installation.snapshot('kept', { deletionPolicy: 'Retain' })
    await scene.reason('kept', 'Ready', 'Ready')
    await scene.delete('kept')
    await scene.gone('kept')
    expect(isOnDisk('kept')).toBe(true)
  })
})

describe('the controller', () => {
  const isLeading = ({ log }: ProgramProcess) => log.includes('"msg":"leading"')

  test('keeps the copy of a set, which goes with it as the policy of the set says', async () => {
    await installation.aSet('fleet', 'Delete')
    await installation.aSet('lasting-fleet', 'Retain')
    await installation.setReady('fleet')
    await installation.setReady('lasting-fleet')
    await installation.deleteSet('fleet')
    await installation.deleteSet('lasting-fleet')
    expect(await scene.snapshots.list({ namespace: scene.namespace })).toEqual([])
    expect([existsSync(installation.path('fleet')), isOnDisk('lasting-fleet')]).toEqual([false, true])
  })

  test('has two replicas, of which one leads, and another one once that ends', { timeout: 180_000 }, async () => {
    const replicas = controllers()
    expect(replicas.length).toBe(2)
    const [leader, ...others] = replicas.filter(isLeading)
    expect(others).toEqual([])
    expect(await leader?.end()).toEqual({ code: 0, signal: null })
    // Whoever comes first: the standby, or the process that the kubelet starts in place of the one that ended.
    const successors = () => controllers().filter((replica) => replica !== leader && isLeading(replica))
    await until('another one leads', successors, ({ length }) => length === 1, { deadlineMs: 120_000 })
    await installation.aSet('second-term', 'Delete')
    await installation.setReady('second-term')
    await installation.deleteSet('second-term')
  })

  test('says of a node without an agent that it has none, and gives up what is on a node that is gone', async () => {
    await installation.cluster.addNode('node-2')
    await scene.nodes.create({
      apiVersion: API_VERSION,
      kind: 'VMSnapshotNode',
      metadata: { name: 'node-2' },
      spec: {},
    })
    const finalizers = ['vmsnapshot.io/directory']
    await scene.create('far', { nodeName: 'node-2', snapshotName: 'far' }, { finalizers })
    await scene.reason('far', 'Ready', 'AgentMissing')
    await installation.cluster.kubectl(['delete', 'node', 'node-2'])
    await scene.delete('far')
    await scene.gone('far', 60_000)
    const record = () => installation.cluster.get('vmsnapnode', 'node-2')
    await until('its record is gone', record, (found) => found === undefined, { deadlineMs: 60_000 })
  })
})

describe('an upgrade', () => {
  /** As docs/install.md has it. The policy that goes with the definitions is Helm's here: applying it too would take it from Helm. */
  async function upgradeDefinitions(items: readonly object[]): Promise<void> {
    const args = ['apply', '--server-side', '--force-conflicts', '-f', '-']
    await scene.cluster.kubectl(args, { input: { apiVersion: 'v1', kind: 'List', items } })
  }

  test('of the definitions keeps every object, running agents, and objects of a later version when it is taken back', async () => {
    await installation.snapshot('stored')
    await scene.reason('stored', 'Ready', 'Ready')
    const { metadata } = await scene.snapshots.get(scene.key('stored'))
    const current = manifestsOf('chart/crds/crds.yaml')
    await upgradeDefinitions(current.map(withNote))
    const note = ['--type=merge', '-p', '{"spec":{"note":"later"}}']
    const patch = ['patch', 'vmsnap', 'stored', '-n', scene.namespace, ...note]
    const isKnown = async () => !(await scene.cluster.tryKubectl(patch)).stdout.includes('no change')
    await until('the new field is known', isKnown, (answer) => answer)
    expect(await storedNote()).toBe('later')
    expect((await scene.get('stored'))?.metadata.uid).toBe(metadata.uid)
    await installation.snapshot('newer')
    await scene.reason('newer', 'Ready', 'Ready')
    await upgradeDefinitions(current)
    await until('the new field is gone', storedNote, (note) => note === undefined)
    await scene.delete('stored', 'newer')
    await scene.gone('stored')
    await scene.gone('newer')
    expect([existsSync(installation.path('stored')), existsSync(installation.path('newer'))]).toEqual([false, false])
  })

  async function storedNote(): Promise<string | undefined> {
    const object = await scene.cluster.get<{ spec: { note?: string } }>('vmsnap', 'stored', '-n', scene.namespace)
    return object?.spec.note
  }

  test('of the chart replaces agent and controllers, which go on where the others ended', async () => {
    const agents = () => installation.kubelet.processes('vmsnapshot-agent')
    const before = [...agents(), ...controllers()]
    await installation.snapshot('lasting')
    await installation.aSet('lasting-set', 'Delete')
    await installation.upgrade('agent.settings.logLevel=debug,controller.settings.logLevel=debug')
    const isReplaced = () => [agents().length, controllers().length].join()
    await until('one agent and two controllers run', isReplaced, (counts) => counts === '1,2')
    const after = [...agents(), ...controllers()]
    expect(after.filter((process) => before.includes(process))).toEqual([])
    for (const { exited } of before) expect(await exited).toEqual({ code: 0, signal: null })
    for (const { pid } of after) expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain('LOG_LEVEL=debug')
    await scene.reason('lasting', 'Ready', 'Ready')
    await installation.setReady('lasting-set')
    await scene.delete('lasting')
    await scene.gone('lasting')
    await installation.deleteSet('lasting-set')
    expect([existsSync(installation.path('lasting')), existsSync(installation.path('lasting-set'))]).toEqual([
      false,
      false,
    ])
  })
})

/** The definition of VMSnapshot with one more field in its spec. */
function withNote(definition: Manifest): object {
  if (definition.metadata.name !== 'vmsnapshots.vmsnapshot.io') return definition
  const later = structuredClone(definition) as unknown as Definition
  for (const { schema } of later.spec.versions) {
    schema.openAPIV3Schema.properties.spec.properties.note = { type: 'string', description: 'Of a later version.' }
  }
  return later
}

interface Definition {
  readonly spec: {
    readonly versions: readonly {
      readonly schema: {
        readonly openAPIV3Schema: {
          readonly properties: { readonly spec: { readonly properties: Record<string, object> } }
        }
      }
    }[]
  }
}

const unstreamed = 'only where the server sends no initial events'
/** Granted and not used here, by the reason. */
const reserved: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'vmsnapshot-agent': {
    'list vmsnapshots.vmsnapshot.io': unstreamed,
    'list vmsnapshotnodes.vmsnapshot.io': unstreamed,
    'get vmsnapshotnodes.vmsnapshot.io': 'only when it exists by the time that the agent creates it',
    'patch events.events.k8s.io': 'only for an event that comes again and again',
  },
  'vmsnapshot-controller': {
    'list vmsnapshotsets.vmsnapshot.io': unstreamed,
    'list vmsnapshotnodes.vmsnapshot.io': unstreamed,
    'list nodes': unstreamed,
    'list pods': unstreamed,
    'update vmsnapshotsets/finalizers.vmsnapshot.io':
      'asked for by an admission plug-in, which the audit log does not show',
    'patch events.events.k8s.io': 'only for an event that comes again and again',
  },
}

describe('the rights of', () => {
  test.each(Object.entries(reserved))('%s are what it asked for, and no more', async (name, reasons) => {
    const { asked, denied, beyond, unused } = await installation.rightsOf(name)
    expect(asked.length).toBeGreaterThan(1)
    expect(denied).toEqual([])
    expect(beyond).toEqual([])
    expect(unused).toEqual(new Set(Object.keys(reasons)))
  })
})
