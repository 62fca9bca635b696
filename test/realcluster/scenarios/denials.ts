// What an agent's own token does not do: by the roles of the chart, and by its policy that ties it to its node.
import assert from 'node:assert/strict'
import { APIError, Connection, type Method } from '../../../src/kube/connection.ts'
import type { Cluster } from '../../controlplane/cluster.ts'
import { namespace } from '../installation.ts'
import type { Scenario } from '../scenario.ts'

const readToken =
  "process.stdout.write(require('node:fs').readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token'))"
const status = { status: { observedGeneration: 7 } }

export const denials: Scenario = {
  name: "an agent's token writes the status of its own node's snapshots, and neither another's nor anything else",
  async play(stage) {
    const scene = await stage.scene()
    const [node, other] = stage.nodes
    await stage.snapshot(scene, node, 'own')
    await stage.snapshot(scene, other, 'other')
    const base = `/apis/vmsnapshot.io/v1alpha1/namespaces/${scene.namespace}/vmsnapshots`
    using agent = new Bearer(
      stage.cluster,
      await stage.inAgent(await stage.readyAgent(node), '/nodejs/bin/node', '-e', readToken),
    )
    assert.equal(await agent.refusal('PATCH', `${base}/own/status`, status), undefined)
    assert.match(`${await agent.refusal('PATCH', `${base}/other/status`, status)}`, /belongs to node node-b/)
    const spec = { spec: { deletionPolicy: 'Retain' } }
    assert.match(`${await agent.refusal('PATCH', `${base}/own`, spec)}`, /may not change the spec/)
    const labels = { metadata: { labels: { by: 'agent' } } }
    assert.match(`${await agent.refusal('PATCH', `${base}/own`, labels)}`, /may not change labels/)
    assert.match(`${await agent.refusal('DELETE', `${base}/own`)}`, /cannot delete resource/)
    assert.match(`${await agent.refusal('GET', `/api/v1/namespaces/${namespace}/secrets`)}`, /cannot list resource/)
    assert.match(`${await agent.refusal('GET', '/api/v1/nodes')}`, /cannot list resource/)
    // The same ServiceAccount, by a token that no kubelet asked for.
    const unbound = await stage.cluster.kubectl(['create', 'token', 'vmsnapshot-agent', '-n', namespace])
    using nobody = new Bearer(stage.cluster, unbound.trim())
    assert.match(`${await nobody.refusal('PATCH', `${base}/own/status`, status)}`, /names no node/)
    await stage.strike(scene)
  },
}

/** Whoever has a token. What it asks for is not done. */
class Bearer {
  readonly #connection: Connection

  constructor(cluster: Cluster, token: string) {
    const kubeconfig = cluster.writeKubeconfig(`bearer-${token.slice(-8)}`, token)
    this.#connection = new Connection({ kubeconfig, userAgent: 'e2e' })
  }

  /** Why not, or undefined where it would have been done. */
  async refusal(method: Method, path: string, body?: object): Promise<string | undefined> {
    const query = method === 'GET' ? {} : { dryRun: 'All' }
    const what = body === undefined ? {} : { body, contentType: 'application/merge-patch+json' }
    try {
      await this.#connection.request({ method, path, query, ...what })
      return undefined
    } catch (error) {
      if (error instanceof APIError) return error.message
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#connection.close()
  }
}
