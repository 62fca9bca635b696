// Faults of the API server itself, which all storms on it meet: it is restarted with an emptied watch cache, etcd forgets what was before, or hangs.
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlPlane } from '../controlplane/control-plane.ts'
import type { Population } from '../support/population.ts'
import { until } from '../support/until.ts'

export interface ServerFault {
  readonly name: string
  readonly run: (controlPlane: ControlPlane) => Promise<void>
}

const downMs = 3_000
const hangMs = 8_000

async function restart(controlPlane: ControlPlane, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  await controlPlane.stopAPIServer()
  await meanwhile()
  await sleep(downMs)
  await controlPlane.startAPIServer()
}

export const serverFaults: readonly ServerFault[] = [
  { name: 'the API server is restarted', run: (controlPlane) => restart(controlPlane) },
  {
    name: 'the API server is restarted, and etcd has forgotten all but the newest',
    run: (controlPlane) => restart(controlPlane, () => controlPlane.compact()),
  },
  { name: 'etcd forgets all but the newest', run: (controlPlane) => controlPlane.compact() },
  {
    name: 'etcd hangs',
    run: async (controlPlane) => {
      controlPlane.signalEtcd('SIGSTOP')
      await sleep(hangMs)
      controlPlane.signalEtcd('SIGCONT')
    },
  },
]

/** Lets rests through while the server is well; whoever breaks it waits until those that began are over. */
export class Weather {
  readonly #marker: Population
  #broken: Promise<void> | undefined
  readonly #rests = new Set<Promise<void>>()

  constructor(marker: Population) {
    this.#marker = marker
  }

  async atRest(rest: () => Promise<void>): Promise<void> {
    while (this.#broken !== undefined) await this.#broken
    const resting = rest()
    this.#rests.add(resting)
    await resting.finally(() => this.#rests.delete(resting))
  }

  async breakServer(controlPlane: ControlPlane, fault: ServerFault): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#broken = promise
    try {
      await Promise.allSettled(this.#rests)
      await fault.run(controlPlane)
      // The storage of definitions answers some time after the server says that it is ready.
      await until(
        'it lists',
        () => this.#marker.fresh().catch(() => []),
        ({ length }) => length > 0,
        { deadlineMs: 120_000 },
      )
    } finally {
      this.#broken = undefined
      resolve()
    }
  }
}
