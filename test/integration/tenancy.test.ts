import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { manifestsIn } from '../controlplane/install.ts'
import { helm } from '../helm/helm.ts'
import { Scene } from '../support/scene.ts'
import { until } from '../support/until.ts'

const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart')
let scene: Scene

/** The policy of the chart, for the namespaces of this file only. */
beforeAll(async () => {
  scene = await Scene.open()
  const selector = `tenancy.namespaceSelector.matchLabels.tenancy=${scene.namespace}`
  const options = ['--set', `tenancy.enabled=true,${selector}`, '--show-only', 'templates/tenancy-policy.yaml']
  for (const policy of manifestsIn(await helm(['template', 'x', chart, ...options]))) await scene.cluster.apply(policy)
  await namespace('plain', {})
  await until(
    'the policy is in force',
    () => refusal('plain', 'any'),
    (text) => text.includes('vmsnapshot-tenancy'),
  )
  await namespace('team-a', { 'vmsnapshot.io/name-prefix': 'team-a' })
  await namespace('team-b', { 'vmsnapshot.io/name-prefix': 'teams/b/' })
})
afterAll(async () => {
  await scene.cluster.kubectl([
    'delete',
    'validatingadmissionpolicybinding,validatingadmissionpolicy',
    'vmsnapshot-tenancy',
  ])
  await scene.close()
})

function nameOf(tenant: string): string {
  return `${scene.namespace}-${tenant}`
}

async function namespace(tenant: string, annotations: object): Promise<void> {
  const labels = { tenancy: scene.namespace }
  const metadata = { name: nameOf(tenant), labels, annotations }
  await scene.cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata })
}

/** What kubectl says to an object that names this directory; empty: it is taken. */
async function refusal(tenant: string, snapshotName: string, kind = 'VMSnapshot'): Promise<string> {
  const spec =
    kind === 'VMSnapshot' ? { nodeName: 'node-1', snapshotName } : { nodeSelector: {}, template: { snapshotName } }
  const metadata = { generateName: 'try-', namespace: nameOf(tenant) }
  const input = { apiVersion: 'vmsnapshot.io/v1alpha1', kind, metadata, spec }
  return (await scene.cluster.tryKubectl(['create', '--dry-run=server', '-f', '-'], { input })).stderr
}

describe.each(['VMSnapshot', 'VMSnapshotSet'])('a tenant with a prefix makes a %s', (kind) => {
  test('of what lies below it', async () => {
    expect(await refusal('team-a', 'team-a/sandbox', kind)).toBe('')
    expect(await refusal('team-b', 'teams/b/sandbox', kind)).toBe('')
  })

  test.each([
    ['team-a', 'team-b/sandbox'],
    ['team-a', 'team-a'],
    ['team-a', 'team-abc/sandbox'],
    ['team-b', 'teams/a/sandbox'],
    ['team-b', 'teams/bc/sandbox'],
  ])('%s: not of %s', async (tenant, snapshotName) => {
    expect(await refusal(tenant, snapshotName, kind)).toContain('may only name snapshot directories below team')
  })
})

test('a tenant without a prefix names no directory at all', async () => {
  expect(await refusal('plain', 'sandbox')).toContain('has no annotation vmsnapshot.io/name-prefix')
})

test('a namespace that the policy is not for names what it likes', async () => {
  await scene.create('free', { nodeName: 'node-1', snapshotName: 'team-b/sandbox' })
})

test('what was made before the policy is changed and deleted as before', async () => {
  const { cluster } = scene
  await namespace('moved', { 'vmsnapshot.io/name-prefix': 'old' })
  const spec = { nodeName: 'node-1', snapshotName: 'old/sandbox' }
  const metadata = { name: 'kept', namespace: nameOf('moved') }
  await cluster.apply({ apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshot', metadata, spec })
  await cluster.kubectl(['annotate', 'namespace', nameOf('moved'), '--overwrite', 'vmsnapshot.io/name-prefix=new'])
  const policy = '{"spec":{"deletionPolicy":"Retain"}}'
  await cluster.kubectl(['patch', 'vmsnap', 'kept', '-n', nameOf('moved'), '--type=merge', '-p', policy])
  await cluster.kubectl(['delete', 'vmsnap', 'kept', '-n', nameOf('moved')])
})
