// What an installation has before its first Pod starts: the definitions, ServiceAccounts, rights and policies, as deploy/ has them.
// Its workloads are left out: tests start the processes themselves.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'
import type { Cluster } from './cluster.ts'

const deploy = join(import.meta.dirname, '..', '..', 'deploy')
const workloads = ['DaemonSet', 'Deployment']

export interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
}

/** The objects of a file below deploy/. Throws YAMLParseError. */
export function manifestsOf(file: string): readonly Manifest[] {
  return manifestsIn(readFileSync(join(deploy, file), 'utf8'))
}

/** The objects of a text of several documents. Throws YAMLParseError. */
export function manifestsIn(text: string): readonly Manifest[] {
  const objects = parseAllDocuments(text, { strict: true }).map((document) => {
    const [error] = document.errors
    if (error !== undefined) throw error
    return document.toJS() as Manifest | null
  })
  return objects.filter((object) => object !== null)
}

export async function install(cluster: Cluster): Promise<void> {
  const definitions = manifestsOf('crds.yaml')
  await applyStrictly(cluster, definitions)
  const names = definitions
    .filter(({ kind }) => kind === 'CustomResourceDefinition')
    .map(({ metadata }) => metadata.name)
  await cluster.established(...names)
  await applyStrictly(
    cluster,
    manifestsOf('install.yaml').filter(({ kind }) => !workloads.includes(kind)),
  )
  await policyInForce(cluster)
}

async function applyStrictly(cluster: Cluster, items: readonly object[]): Promise<void> {
  const input = { apiVersion: 'v1', kind: 'List', items }
  await cluster.kubectl(['apply', '--server-side', '--validate=strict', '-f', '-'], { input })
}

/** A policy counts some time after it was written: until then a foreign write would go through. */
async function policyInForce(cluster: Cluster): Promise<void> {
  const input = { apiVersion: 'vmsnapshot.io/v1alpha1', kind: 'VMSnapshotNode', metadata: { name: 'probe' }, spec: {} }
  const as = '--as=system:serviceaccount:vmsnapshot-system:vmsnapshot-agent'
  for (;;) {
    const { stderr } = await cluster.tryKubectl(['create', as, '--dry-run=server', '-f', '-'], { input })
    if (stderr.includes('vmsnapshot-agent-node-bound')) return
    await sleep(100)
  }
}
