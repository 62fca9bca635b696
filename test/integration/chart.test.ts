// The chart as both versions of Helm render it, against the real API server: strict validation, Pod Security, what kubectl and kustomize make of it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import * as z from 'zod'
import { chartValues } from '../../build/chart-values.ts'
import { rendered } from '../../build/install.ts'
import { type Manifest, manifestsIn } from '../controlplane/install.ts'
import { helm, tryHelm } from '../helm/helm.ts'
import { type PodTemplate, podTemplatesOf } from '../helm/workloads.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

const root = join(import.meta.dirname, '..', '..')
const chart = join(root, 'deploy', 'chart')
const allValues = join(root, 'test', 'helm', 'all-values.yaml')
const versions = ['helm3', 'helm4'] as const
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-chart-'))
let scene: Scene

beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(async () => {
  await scene.close()
  rmSync(directory, { recursive: true, force: true })
})

const templateArgs = (namespace: string, options: readonly string[]) => [
  'template',
  'vmsnapshot',
  chart,
  '--namespace',
  namespace,
  '--include-crds',
  // Helm 3 as it is built from its module would take 1.20.
  '--kube-version=1.32.0',
  ...options,
]

async function template(
  options: readonly string[] = [],
  version?: (typeof versions)[number],
): Promise<readonly Manifest[]> {
  const args = templateArgs(scene.namespace, options)
  return manifestsIn(await helm(args, version === undefined ? {} : { version }))
}

test('deploy/crds.yaml and deploy/install.yaml are what the chart renders', async () => {
  for (const [path, content] of await rendered()) expect(readFileSync(join(root, path), 'utf8'), path).toBe(content)
})

test('the chart has the version of the program', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8'))).toMatchObject({ version, appVersion: version })
})

test('the test of all values leaves none out, and none at its default', () => {
  const { global: _, ...defaults } = chartValues.parse({})
  const given = chartValues.parse(parse(readFileSync(allValues, 'utf8')))
  expect(leftAtDefault(defaults, given)).toEqual([])
})

function leftAtDefault(defaults: unknown, given: unknown, path = ''): readonly string[] {
  const isFree = typeof defaults !== 'object' || Array.isArray(defaults) || Object.keys(defaults ?? {}).length === 0
  if (isFree) return JSON.stringify(defaults) === JSON.stringify(given) ? [path] : []
  return Object.entries(defaults as object).flatMap(([key, value]) =>
    leftAtDefault(value, (given as Record<string, unknown>)[key], `${path}.${key}`),
  )
}

describe.each(versions)('%s', (version) => {
  test('finds no fault with the chart', async () => {
    await helm(['lint', '--strict', chart], { version })
    await helm(['lint', '--strict', chart, '--values', allValues], { version })
  })

  test.each([
    ['the defaults', []],
    ['all values', ['--values', allValues]],
  ])('renders what the API server takes, strictly: %s', async (_, options) => {
    const objects = await template(options, version)
    const input = { apiVersion: 'v1', kind: 'List', items: objects }
    const args = ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict', '-f', '-']
    const shown = (await scene.cluster.kubectl(args, { input })).trim().split('\n')
    expect(shown.length).toBe(objects.length)
    expect(objects.length).toBeGreaterThan(10)
  })
})

describe('what the chart refuses', () => {
  test.each([
    ['/snapshots', 'does not match pattern'],
    ['/var/lib/snapshots', '/var/lib is a directory of the system'],
    ['/etc/snapshots', '/etc is a directory of the system'],
    ['/proc/1/snapshots', 'nothing below /proc can be mounted'],
    ['/var/run/vm/snapshots', 'nothing below /var/run can be mounted'],
    ['/srv/../snapshots', 'does not match pattern'],
    ['/srv/./snapshots', 'does not match pattern'],
    ['srv/vm/snapshots', 'does not match pattern'],
    ['/srv/vm/snapshots/', 'does not match pattern'],
  ])('the base directory %s', async (baseDir, message) => {
    const { code, stderr } = await tryHelm(templateArgs('x', ['--set', `agent.baseDir=${baseDir}`]))
    expect(code).not.toBe(0)
    expect(stderr).toContain(message)
  })

  test.each([
    ['agent.settings.rescanIntervall=1s', 'rescanIntervall'],
    ['agent.settings.rescanInterval=soon', 'rescanInterval'],
    ['agent.settings.allowRemoval=maybe', 'allowRemoval'],
    ['agent.port=70000', 'port'],
    ['controller.settings.nodeGrace=never', 'nodeGrace'],
    ['controller.settings.namespace=elsewhere', 'namespace'],
  ])('%s', async (value, message) => {
    const { code, stderr } = await tryHelm(templateArgs('x', ['--set', value]))
    expect(code).not.toBe(0)
    expect(stderr).toContain(message)
  })

  test('a cluster that is too old', async () => {
    const { stderr } = await tryHelm(templateArgs('x', ['--kube-version=1.31.9']))
    expect(stderr).toContain('incompatible with Kubernetes')
  })
})

describe('Pod Security', () => {
  /** What a level says against a Pod; empty: it takes it. */
  async function violations(level: string, pod: PodTemplate | undefined): Promise<readonly string[]> {
    const namespace = `${scene.namespace}-${level}`
    const labels = { 'pod-security.kubernetes.io/enforce': level }
    await scene.cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } })
    const name = pod?.spec.serviceAccountName
    await scene.cluster.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } })
    const input = { apiVersion: 'v1', kind: 'Pod', ...pod, metadata: { ...pod?.metadata, name: 'pod', namespace } }
    const { code, stderr } = await scene.cluster.tryKubectl(['create', '--dry-run=server', '-f', '-'], { input })
    if (code === 0) return []
    const [, told = stderr] = /violates PodSecurity "[^"]*": (.*)/.exec(stderr) ?? []
    return told.split('), ').map((violation) => violation.replace(/ \(.*/s, ''))
  }

  test('allows every Pod in the namespace that the chart declares', async () => {
    const objects = await template(['--set', 'namespace.create=true'])
    const namespace = objects.find(({ kind }) => kind === 'Namespace')
    const level = namespace?.metadata.labels?.['pod-security.kubernetes.io/enforce'] ?? ''
    const pods = podTemplatesOf(objects)
    expect([...pods.keys()].sort()).toEqual(['vmsnapshot-agent', 'vmsnapshot-controller', 'vmsnapshot-uninstall'])
    for (const [name, pod] of pods) expect(await violations(level, pod), name).toEqual([])
  })

  test('has nothing against controller and uninstallation at its strictest level', async () => {
    const pods = podTemplatesOf(await template())
    for (const name of ['vmsnapshot-controller', 'vmsnapshot-uninstall']) {
      expect(await violations('restricted', pods.get(name)), name).toEqual([])
    }
  })

  test('has against the agent that it is root and sees a directory of the node, and nothing else', async () => {
    const agent = podTemplatesOf(await template()).get('vmsnapshot-agent')
    expect(await violations('baseline', agent)).toEqual(['hostPath volumes'])
    expect(await violations('restricted', agent)).toEqual([
      'restricted volume types',
      'runAsNonRoot != true',
      'runAsUser=0',
    ])
  })
})

test('the API server finds no fault with the expressions of the policies', async () => {
  const objects = await template(['--set', 'tenancy.enabled=true'])
  const policies = objects.filter(({ kind }) => kind === 'ValidatingAdmissionPolicy')
  expect(policies.length).toBeGreaterThan(2)
  for (const policy of policies) {
    const name = `${scene.namespace}-${policy.metadata.name}`
    await scene.cluster.apply({ ...policy, metadata: { name } })
    const checked = await until(
      `${name} has been checked`,
      () => scene.cluster.get<Checked>('validatingadmissionpolicy', name),
      (found) => found?.status?.observedGeneration !== undefined,
    )
    expect(checked?.status?.typeChecking?.expressionWarnings ?? [], policy.metadata.name).toEqual([])
    await scene.cluster.kubectl(['delete', 'validatingadmissionpolicy', name])
  }
})

interface Checked {
  readonly status?: {
    readonly observedGeneration?: number
    readonly typeChecking?: { readonly expressionWarnings?: readonly object[] }
  }
}

test('every Pod has a NetworkPolicy of its own, and that of the controller a disruption budget', async () => {
  const objects = await template()
  const selected = (wanted: string) =>
    objects.filter(({ kind }) => kind === wanted).map((object) => selecting.parse(object).spec)
  const covers = (labels: Readonly<Record<string, string>>) => (selector: Readonly<Record<string, string>>) =>
    Object.entries(selector).every(([key, value]) => labels[key] === value)
  const policies = selected('NetworkPolicy').map(({ podSelector }) => podSelector?.matchLabels ?? {})
  const budgets = selected('PodDisruptionBudget').map(({ selector }) => selector?.matchLabels ?? {})
  for (const [name, { metadata }] of podTemplatesOf(objects)) {
    expect(policies.filter(covers(metadata.labels)).length, name).toBe(1)
    expect(budgets.filter(covers(metadata.labels)).length, name).toBe(name === 'vmsnapshot-controller' ? 1 : 0)
  }
})

const matching = z.object({ matchLabels: z.record(z.string(), z.string()) }).optional()
const selecting = z.object({ spec: z.object({ podSelector: matching, selector: matching }) })

test('kustomize builds deploy/ and an overlay with another image and base directory', async () => {
  const kustomize = async (path: string) =>
    manifestsIn(await scene.cluster.kubectl(['kustomize', path, '--load-restrictor=LoadRestrictionsNone']))
  const base = await kustomize(join(root, 'deploy'))
  expect(base.length).toBeGreaterThan(10)
  const parent = { hostPath: { path: '/srv/vm', type: 'Directory' }, name: 'base' }
  const patch = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'vmsnapshot-agent', namespace: 'vmsnapshot-system' },
    spec: {
      template: {
        spec: {
          containers: [
            {
              name: 'agent',
              env: [{ name: 'BASE_DIR', value: '/srv/vm/snapshots' }],
              volumeMounts: [
                { $patch: 'replace' },
                { name: 'base', mountPath: '/srv/vm', mountPropagation: 'HostToContainer' },
              ],
            },
          ],
          volumes: [parent],
        },
      },
    },
  }
  const overlay = {
    resources: [relative(directory, join(root, 'deploy'))],
    images: [{ name: 'vmsnapshot-operator', newName: 'registry.example.org/vmsnapshot-operator', newTag: '1.2.3' }],
    patches: [{ patch: stringify(patch) }],
  }
  writeFileSync(join(directory, 'kustomization.yaml'), stringify(overlay))
  const agent = (await kustomize(directory)).find(({ kind }) => kind === 'DaemonSet')
  expect(agent).toMatchObject({
    spec: {
      template: {
        spec: {
          containers: [
            { image: 'registry.example.org/vmsnapshot-operator:1.2.3', volumeMounts: [{ mountPath: '/srv/vm' }] },
          ],
          volumes: [parent],
        },
      },
    },
  })
})
