// The informer that @kubernetes/client-node brings, looked at as ours is.
import {
  CustomObjectsApi,
  KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  ListWatch,
  Watch,
} from '@kubernetes/client-node'
import type { Follower, Selectors } from '../test/support/follower.ts'
import { linesOf } from '../test/support/population.ts'

const collection = { group: 'vmsnapshot.io', version: 'v1alpha1', resourcePlural: 'vmsnapshots' }
/** As the package's example does. */
const restartMs = 5_000

export interface ClientNodeOptions extends Pick<Selectors, 'fieldSelector'> {
  readonly kubeconfig: string
  /** starts it again, some seconds after each error that it tells */
  readonly isRestarted: boolean
}

export class ClientNodeFollower implements Follower {
  readonly #informer: ListWatch<KubernetesObject>
  readonly #told = new Map<string, string>()
  readonly #restarts = new Set<NodeJS.Timeout>()
  #hasSynced = false

  constructor({ kubeconfig, fieldSelector, isRestarted }: ClientNodeOptions) {
    const config = new KubeConfig()
    config.loadFromFile(kubeconfig)
    const api = config.makeApiClient(CustomObjectsApi)
    const list = async () => {
      const found = await api.listCustomObjectForAllNamespaces({ ...collection, fieldSelector })
      return found as KubernetesListObject<KubernetesObject>
    }
    const path = `/apis/${collection.group}/${collection.version}/${collection.resourcePlural}`
    this.#informer = new ListWatch(path, new Watch(config), list, false, undefined, fieldSelector)
    for (const verb of ['add', 'update'] as const)
      this.#informer.on(verb, (object) => this.#told.set(...entryOf(object)))
    this.#informer.on('delete', (object) => this.#told.delete(entryOf(object)[0]))
    // Without a handler of its own an error would be nobody's.
    this.#informer.on('error', () => isRestarted && this.#startLater())
    this.#start()
  }

  get hasSynced(): boolean {
    return this.#hasSynced
  }

  get held(): readonly string[] {
    return linesOf(new Map(this.#informer.list().map(entryOf)))
  }

  get told(): readonly string[] {
    return linesOf(this.#told)
  }

  async end(): Promise<void> {
    for (const restart of this.#restarts) clearTimeout(restart)
    await this.#informer.stop()
  }

  #start(): void {
    this.#informer.start().then(
      () => {
        this.#hasSynced = true
      },
      () => {},
    )
  }

  #startLater(): void {
    const restart = setTimeout(() => {
      this.#restarts.delete(restart)
      this.#start()
    }, restartMs)
    this.#restarts.add(restart)
  }
}

/** As our own are told. */
function entryOf({ metadata }: KubernetesObject): readonly [key: string, identity: string] {
  return [`${metadata?.namespace}/${metadata?.name}`, `${metadata?.uid} ${metadata?.resourceVersion}`]
}
