// A machine as a member of the cluster: its Node with labels and taints, and the Pod of its agent, as kubelets and people change them.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../../src/kube/connection.ts'
import { until } from '../../support/until.ts'
import type { Machine } from '../machine.ts'
import { unless } from '../people.ts'
import type { Zone } from './universe.ts'

/** `away`: there is no Node. `out`: tainted out-of-service, and its agent does not run. */
type State = 'here' | 'away' | 'out'

const outOfService = 'node.kubernetes.io/out-of-service'
const joinMs = 30_000

export class Member {
  readonly machine: Machine
  state: State = 'here'
  /** something that lasts is happening to it */
  isBusy = false
  readonly #connection: Connection
  readonly #run: string

  constructor(machine: Machine, connection: Connection, run: string) {
    this.machine = machine
    this.#connection = connection
    this.#run = run
  }

  get #nodePath(): string {
    return `/api/v1/nodes/${this.machine.name}`
  }

  get #podPath(): string {
    return `/api/v1/namespaces/vmsnapshot-system/pods/agent-${this.machine.name}`
  }

  /** The Node, the Pod with a token of its own, and the agent. Tries again while the API server is away. */
  async arrive(zone: Zone): Promise<void> {
    const { machine } = this
    const attempt = async () => {
      try {
        await this.#createNode(zone)
        await machine.join()
        await this.setReady(true)
        return 'arrived'
      } catch (error) {
        await sleep(200)
        return String(error)
      }
    }
    await until(`${machine.label} joins`, attempt, (outcome) => outcome === 'arrived', { deadlineMs: joinMs })
    this.state = 'here'
    machine.start()
  }

  async #createNode(zone: Zone): Promise<void> {
    const labels = { run: this.#run, ...(zone === 'none' ? {} : { zone }) }
    const metadata = { name: this.machine.name, labels }
    const body = { apiVersion: 'v1', kind: 'Node', metadata }
    await this.#connection.request({ method: 'POST', path: '/api/v1/nodes', body }).catch(unless('AlreadyExists'))
  }

  /** The Node goes, and with it the Pod, as the garbage collector of Pods would have it. */
  async leave(): Promise<void> {
    await this.#connection.request({ method: 'DELETE', path: this.#nodePath }).catch(unless('NotFound'))
    await this.removePod()
    this.state = 'away'
  }

  async removePod(): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 }
    await this.#connection.request({ method: 'DELETE', path: this.#podPath, body }).catch(unless('NotFound'))
  }

  async setReady(isReady: boolean): Promise<void> {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }]
    await this.#merge(`${this.#podPath}/status`, { status: { conditions } })
  }

  async relabel(zone: Zone): Promise<void> {
    await this.#merge(this.#nodePath, { metadata: { labels: { run: this.#run, zone: zone === 'none' ? null : zone } } })
  }

  async taint(isOut: boolean): Promise<void> {
    const taints = isOut ? [{ key: outOfService, value: 'nodeshutdown', effect: 'NoExecute' }] : []
    await this.#merge(this.#nodePath, { spec: { taints } })
  }

  async #merge(path: string, body: object): Promise<void> {
    await this.#connection.request({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' })
  }
}
