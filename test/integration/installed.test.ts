// An installation as Helm makes it, run as it stands: the processes get arguments, environment, ServiceAccount and rights from the rendered
// manifests and from nowhere else. Then what they asked of the API server against what their roles allow.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type ControlPlane, startControlPlane } from '../controlplane/control-plane.ts'
import { type Manifest, manifestsIn, manifestsOf } from '../controlplane/install.ts'
import { helm, tryHelm } from '../helm/helm.ts'
import { askedBy, compare, granted } from '../support/audit.ts'
import { Kubelet } from '../support/kubelet.ts'
import { ProgramProcess } from '../support/program-process.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart')
const namespace = 'vmsnapshot-system'
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-installed-'))
const baseDir = join(directory, 'disk', 'snapshots')
const inNamespace = ['--namespace', namespace, '--timeout=100s']
const release = ['vmsnapshot', ...inNamespace]
const values = ['--set', `agent.baseDir=${baseDir},agent.settings.settleTime=0s,agent.settings.rescanInterval=1s`]

let controlPlane: ControlPlane
let kubelet: Kubelet
let scene: Scene
let manifests: readonly Manifest[]

beforeAll(async () => {
  mkdirSync(baseDir, { recursive: true })
  controlPlane = await startControlPlane({ audit: true, binaries: inject('coordinates').binaries })
  const { cluster } = controlPlane
  await cluster.addNode('node-1')
  await cluster.kubectl(['label', 'node', 'node-1', 'kubernetes.io/os=linux'])
  kubelet = new Kubelet(cluster, 'node-1', namespace, directory)
  scene = await Scene.open(cluster)
  const install = ['install', 'vmsnapshot', chart, ...inNamespace, ...values, '--create-namespace', '--wait']
  await helm(install, { kubeconfig: kubeconfig() })
  const template = ['template', 'vmsnapshot', chart, '--namespace', namespace, ...values]
  manifests = manifestsIn(await helm([...template, '--set=uninstall.retainAll=true']))
})
afterAll(async () => {
  await kubelet?.stop()
  await scene?.close()
  await controlPlane?.stop()
  rmSync(directory, { recursive: true, force: true })
})

const kubeconfig = () => scene.cluster.adminKubeconfig

/** A snapshot on disk and its object. */
async function snapshot(name: string, spec: object = {}): Promise<void> {
  writeSnapshot(baseDir, name)
  await scene.create(name, { nodeName: 'node-1', snapshotName: name, ...spec })
}

/** A set of that snapshot; its uid. */
async function aSet(name: string, deletionPolicy: string): Promise<string> {
  const spec = { nodeSelector: {}, template: { snapshotName: name, deletionPolicy } }
  const metadata = { name, namespace: scene.namespace }
  await scene.cluster.apply({ apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshotSet', metadata, spec })
  const set = await scene.cluster.get<{ metadata: { uid: string } }>('vmsnapset', name, '-n', scene.namespace)
  return set?.metadata.uid ?? ''
}

describe('what Helm installed', () => {
  test('reports a snapshot of its node, and removes it', async () => {
    await snapshot('plain')
    await scene.reason('plain', 'Ready', 'Ready')
    await scene.delete('plain')
    await scene.gone('plain')
    expect(existsSync(join(baseDir, 'plain'))).toBe(false)
  })

  test('keeps a snapshot whose policy says so', async () => {
    await snapshot('kept', { deletionPolicy: 'Retain' })
    await scene.reason('kept', 'Ready', 'Ready')
    await scene.delete('kept')
    await scene.gone('kept')
    expect(existsSync(join(baseDir, 'kept', 'snapfile'))).toBe(true)
  })

  test('keeps a snapshot whose set says so', async () => {
    const uid = await aSet('fleet', 'Retain')
    writeSnapshot(baseDir, 'fleet')
    const owner = { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshotSet', name: 'fleet', uid, controller: true }
    await scene.create('fleet-copy', { nodeName: 'node-1', snapshotName: 'fleet' }, { ownerReferences: [owner] })
    await scene.reason('fleet-copy', 'Ready', 'Ready')
    await scene.delete('fleet-copy')
    await scene.gone('fleet-copy')
    expect(existsSync(join(baseDir, 'fleet', 'snapfile'))).toBe(true)
  })
})

describe('an upgrade', () => {
  /** As docs/install.md has it. The policy that goes with the definitions is Helm's here: applying it too would take it from Helm. */
  async function upgradeDefinitions(items: readonly object[]): Promise<void> {
    const args = ['apply', '--server-side', '--force-conflicts', '-f', '-']
    await scene.cluster.kubectl(args, { input: { apiVersion: 'v1', kind: 'List', items } })
  }

  test('of the definitions keeps every object, running agents, and objects of a later version when it is taken back', async () => {
    await snapshot('stored')
    const { metadata } = await scene
      .reason('stored', 'Ready', 'Ready')
      .then(() => scene.snapshots.get(scene.key('stored')))
    const current = manifestsOf('chart/crds/crds.yaml')
    await upgradeDefinitions(current.map(withNote))
    const patch = [
      'patch',
      'vmsnap',
      'stored',
      '-n',
      scene.namespace,
      '--type=merge',
      '-p',
      '{"spec":{"note":"later"}}',
    ]
    const isKnown = async () => !(await scene.cluster.tryKubectl(patch)).stdout.includes('no change')
    await until('the new field is known', isKnown, (answer) => answer)
    expect(await storedNote()).toBe('later')
    expect((await scene.get('stored'))?.metadata.uid).toBe(metadata.uid)
    await snapshot('newer')
    await scene.reason('newer', 'Ready', 'Ready')
    await upgradeDefinitions(current)
    await until('the new field is gone', storedNote, (note) => note === undefined)
    await scene.delete('stored', 'newer')
    await scene.gone('stored')
    await scene.gone('newer')
    expect([existsSync(join(baseDir, 'stored')), existsSync(join(baseDir, 'newer'))]).toEqual([false, false])
  })

  async function storedNote(): Promise<string | undefined> {
    const object = await scene.cluster.get<{ spec: { note?: string } }>('vmsnap', 'stored', '-n', scene.namespace)
    return object?.spec.note
  }

  test('of the chart replaces the agent, which goes on where the other ended', async () => {
    const [before] = kubelet.processes('vmsnapshot-agent')
    await snapshot('lasting')
    const options = ['--reuse-values', '--set=agent.settings.logLevel=debug', '--wait']
    await helm(['upgrade', 'vmsnapshot', chart, ...inNamespace, ...options], { kubeconfig: kubeconfig() })
    const [after, ...others] = kubelet.processes('vmsnapshot-agent')
    expect(others).toEqual([])
    expect(after?.pid).not.toBe(before?.pid)
    expect(await before?.exited).toEqual({ code: 0, signal: null })
    expect(readFileSync(`/proc/${after?.pid}/environ`, 'utf8')).toContain('LOG_LEVEL=debug')
    await scene.reason('lasting', 'Ready', 'Ready')
    await scene.delete('lasting')
    await scene.gone('lasting')
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

describe('helm uninstall', () => {
  const isInstalled = async () =>
    (await scene.cluster.get('daemonset', 'vmsnapshot-agent', '-n', namespace)) !== undefined

  test('is refused while the operator holds anything, and says what', async () => {
    await snapshot('left')
    await scene.reason('left', 'Ready', 'Ready')
    await aSet('left-set', 'Delete')
    const { code, stdout, stderr } = await tryHelm(['uninstall', ...release], { kubeconfig: kubeconfig() })
    expect(code).not.toBe(0)
    expect(stdout + stderr).toContain('vmsnapshot-uninstall')
    expect(kubelet.logOf('vmsnapshot-uninstall')).toContain(`VMSnapshot ${scene.namespace}/left (left on node node-1)`)
    expect(await isInstalled()).toBe(true)
    expect((await scene.get('left'))?.metadata.deletionTimestamp).toBeUndefined()
    expect(existsSync(join(baseDir, 'left', 'snapfile'))).toBe(true)
  })

  test('told to, lets everything go and keeps every directory; the definitions and their policy stay', async () => {
    // A refused uninstallation leaves the release in a state that only a rollback to itself ends.
    await helm(['rollback', 'vmsnapshot', '2', ...inNamespace, '--wait'], { kubeconfig: kubeconfig() })
    const retainAll = ['--reuse-values', '--set=uninstall.retainAll=true', '--wait']
    await helm(['upgrade', 'vmsnapshot', chart, ...inNamespace, ...retainAll], { kubeconfig: kubeconfig() })
    await helm(['uninstall', ...release, '--wait'], { kubeconfig: kubeconfig() })
    expect(await scene.get('left')).toBeUndefined()
    expect(await scene.cluster.get('vmsnapset', 'left-set', '-n', scene.namespace)).toBeUndefined()
    expect(existsSync(join(baseDir, 'left', 'snapfile'))).toBe(true)
    expect(await isInstalled()).toBe(false)
    expect(await scene.cluster.get('crd', 'vmsnapshots.vmsnapshot.io')).toBeDefined()
    expect(await scene.cluster.get('validatingadmissionpolicybinding', 'vmsnapshot-definitions')).toBeDefined()
    expect(await scene.cluster.get('validatingadmissionpolicy', 'vmsnapshot-agent-node-bound')).toBeUndefined()
  })

  test('leaves what a new installation goes on with, by the other Helm too', async () => {
    const options = { version: 'helm3', kubeconfig: kubeconfig() } as const
    await helm(['install', 'vmsnapshot', chart, ...inNamespace, ...values, '--wait'], options)
    await scene.create('back', { nodeName: 'node-1', snapshotName: 'left' })
    await scene.reason('back', 'Ready', 'Ready')
    await scene.delete('back')
    await scene.gone('back')
    expect(existsSync(join(baseDir, 'left'))).toBe(false)
    await helm(['uninstall', ...release, '--wait'], options)
    expect(await isInstalled()).toBe(false)
    expect(await scene.cluster.get('crd', 'vmsnapshots.vmsnapshot.io')).toBeDefined()
  })

  test('waits for no agent for ever, and has kept the directory meanwhile', async () => {
    writeSnapshot(baseDir, 'stranded')
    const finalizers = ['vmsnapshot.io/directory']
    await scene.create('stranded', { nodeName: 'node-1', snapshotName: 'stranded' }, { finalizers })
    const args = ['uninstall', '--retain-all=true', '--timeout=10s']
    const logFile = join(directory, 'uninstall.log')
    const uninstall = new ProgramProcess({ args, env: { KUBECONFIG: kubeconfig() }, logFile })
    expect(await uninstall.exited).toEqual({ code: 1, signal: null })
    expect(uninstall.log).toContain('every policy is Retain: deleting 1 VMSnapshot; their directories stay')
    expect(uninstall.log).toContain('not within 10 s; the operator stays')
    const left = await scene.get('stranded')
    expect(left?.spec.deletionPolicy).toBe('Retain')
    expect(left?.metadata.deletionTimestamp).toBeDefined()
    expect(existsSync(join(baseDir, 'stranded', 'snapfile'))).toBe(true)
  })
})

const unstreamed = 'only where the server sends no initial events'
const missing = 'only where the API server does not serve the kind'
/** Granted and not used here, by the reason. */
const reserved: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'vmsnapshot-agent': {
    'list vmsnapshots.vmsnapshot.io': unstreamed,
    'list vmsnapshotnodes.vmsnapshot.io': unstreamed,
    'get vmsnapshotnodes.vmsnapshot.io': 'only when it exists by the time that the agent creates it',
    'patch events.events.k8s.io': 'only for an event that comes again and again',
  },
  'vmsnapshot-uninstall': {
    'get customresourcedefinitions.apiextensions.k8s.io vmsnapshots.vmsnapshot.io': missing,
    'get customresourcedefinitions.apiextensions.k8s.io vmsnapshotsets.vmsnapshot.io': missing,
  },
}

describe('the rights of', () => {
  test.each(Object.entries(reserved))('%s are what it asked for, and no more', (name, reasons) => {
    const asked = askedBy(`system:serviceaccount:${namespace}:${name}`, controlPlane.auditLog)
    expect(asked.length).toBeGreaterThan(1)
    expect(asked.filter(({ code }) => code === 403)).toEqual([])
    const { unused, beyond } = compare(granted(manifests, name), asked)
    expect(beyond).toEqual([])
    expect(new Set(unused)).toEqual(new Set(Object.keys(reasons)))
  })
})
