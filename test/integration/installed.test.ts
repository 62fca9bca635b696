// An installation as Helm makes it, run as it stands: the processes get arguments, environment, ServiceAccount and rights from the rendered
// manifests and from nowhere else. Then what they asked of the API server against what their roles allow.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type ControlPlane, startControlPlane } from '../controlplane/control-plane.ts'
import { type Manifest, manifestsIn } from '../controlplane/install.ts'
import { helm } from '../helm/helm.ts'
import { askedBy, compare, granted } from '../support/audit.ts'
import { Kubelet } from '../support/kubelet.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { Scene } from '../support/scene.ts'

const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart')
const namespace = 'vmsnapshot-system'
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-installed-'))
const baseDir = join(directory, 'disk', 'snapshots')
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
  const release = ['vmsnapshot', chart, '--namespace', namespace, '--create-namespace']
  await helm(['install', ...release, ...values, '--wait', '--timeout=100s'], { kubeconfig: cluster.adminKubeconfig })
  manifests = manifestsIn(await helm(['template', ...release, ...values]))
  scene = await Scene.open(cluster)
})
afterAll(async () => {
  await kubelet?.stop()
  await scene?.close()
  await controlPlane?.stop()
  rmSync(directory, { recursive: true, force: true })
})

/** A snapshot on disk and its object. */
async function snapshot(name: string, spec: object = {}): Promise<void> {
  writeSnapshot(baseDir, name)
  await scene.create(name, { nodeName: 'node-1', snapshotName: name, ...spec })
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
    const { cluster } = scene
    const spec = { nodeSelector: {}, template: { snapshotName: 'fleet', deletionPolicy: 'Retain' } }
    const metadata = { name: 'fleet', namespace: scene.namespace }
    await cluster.apply({ apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshotSet', metadata, spec })
    const set = await cluster.get<{ metadata: { uid: string } }>('vmsnapset', 'fleet', '-n', scene.namespace)
    writeSnapshot(baseDir, 'fleet')
    const owner = { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshotSet', name: 'fleet', controller: true }
    const ownerReferences = [{ ...owner, uid: set?.metadata.uid }]
    await scene.create('fleet-copy', { nodeName: 'node-1', snapshotName: 'fleet' }, { ownerReferences })
    await scene.reason('fleet-copy', 'Ready', 'Ready')
    await scene.delete('fleet-copy')
    await scene.gone('fleet-copy')
    expect(existsSync(join(baseDir, 'fleet', 'snapfile'))).toBe(true)
  })
})

/** Granted and not used here, by the reason. */
const reserved: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'vmsnapshot-agent': {
    'get vmsnapshotnodes.vmsnapshot.io': 'only when it exists by the time that the agent creates it',
    'create events.events.k8s.io': 'the agent writes no events yet',
    'patch events.events.k8s.io': 'the agent writes no events yet',
  },
}

describe('the rights of', () => {
  test.each(Object.entries(reserved))('%s are what it asked for, and no more', (name, reasons) => {
    const asked = askedBy(`system:serviceaccount:${namespace}:${name}`, controlPlane.auditLog)
    expect(asked.length).toBeGreaterThan(10)
    expect(asked.filter(({ code }) => code === 403)).toEqual([])
    const { unused, beyond } = compare(granted(manifests, name), asked)
    expect({ beyond, unused }).toEqual({ beyond: [], unused: Object.keys(reasons) })
  })
})
