// What an installation has before its first agent starts: the definitions, the agent's ServiceAccount, its rights and its policy.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'

const root = join(import.meta.dirname, '..', '..')

export async function install(cluster: Cluster): Promise<void> {
  await cluster.kubectl(['apply', '--server-side', '--validate=strict', '-f', join(root, 'crds')])
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--timeout=30s', ...definitions()])
  await cluster.kubectl(['apply', '--server-side', '--validate=strict', '-f', join(root, 'deploy', 'agent')])
  await policyInForce(cluster)
}

function definitions(): readonly string[] {
  return readdirSync(join(root, 'crds')).map((file) => file.replace(/\.yaml$/, '.vmsnapshot.io'))
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
