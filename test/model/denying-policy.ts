// A ValidatingAdmissionPolicy that denies updates of one resource to the ServiceAccounts of the installation.
import { setTimeout as sleep } from 'node:timers/promises'
import { APIError, type Connection } from '../../src/kube/connection.ts'

const group = '/apis/admissionregistration.k8s.io/v1'
const retryMs = 200

export class DenyingPolicy {
  readonly #connection: Connection
  readonly #run: string

  /** `run`: what the names of its namespaces begin with. */
  constructor(connection: Connection, run: string) {
    this.#connection = connection
    this.#run = run
  }

  get #name(): string {
    return `${this.#run}-denies-updates`
  }

  /** `resource`: with its subresource, such as vmsnapshots/status. Throws APIError. */
  async create(resource: string): Promise<void> {
    const apiVersion = 'admissionregistration.k8s.io/v1'
    const metadata = { name: this.#name }
    const rule = { apiGroups: ['vmsnapshot.io'], apiVersions: ['*'], operations: ['UPDATE'], resources: [resource] }
    const isOurs = [
      `request.namespace.startsWith('${this.#run}-')`,
      "request.userInfo.username.startsWith('system:serviceaccount:vmsnapshot-system:')",
    ]
    const spec = {
      matchConstraints: { resourceRules: [rule] },
      matchConditions: isOurs.map((expression, index) => ({ name: `is-ours-${index}`, expression })),
      validations: [{ expression: 'false', message: 'updates are denied for a while' }],
    }
    await this.#request('POST', 'validatingadmissionpolicies', {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec,
    })
    await this.#request('POST', 'validatingadmissionpolicybindings', {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: { policyName: this.#name, validationActions: ['Deny'] },
    })
  }

  /** Retries until both are gone: the API server may be away. */
  async remove(): Promise<void> {
    for (const plural of ['validatingadmissionpolicybindings', 'validatingadmissionpolicies']) {
      for (;;) {
        const gone = await this.#request('DELETE', `${plural}/${this.#name}`).then(
          () => true,
          (error: unknown) => error instanceof APIError && error.kind === 'NotFound',
        )
        if (gone) break
        await sleep(retryMs)
      }
    }
  }

  #request(method: 'POST' | 'DELETE', path: string, body?: object): Promise<unknown> {
    return this.#connection.request({ method, path: `${group}/${path}`, ...(body === undefined ? {} : { body }) })
  }
}
