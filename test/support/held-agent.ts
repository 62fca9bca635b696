// A node whose agent can be held, or killed, at any boundary, and asked what it has heard of meanwhile.
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { collectionPath } from '../../src/kube/resource.ts'
import type { AgentProcess } from './agent-process.ts'
import { BoundaryWatch } from './boundary-watch.ts'
import { writeSnapshot } from './sample-snapshots.ts'
import type { Scene, TestNode } from './scene.ts'
import { until } from './until.ts'

/** Of a snapshot as these tests write it. */
export const filesOfSnapshot = 4

/** A directory has been decided upon, and has its name yet. */
export const beforeRename = (name: string) => `before rename ${name} .vmsnapshot/trash/<uid>`
/** It is in the trash, and nobody has looked again. */
export const afterRename = (name: string) => `after rename ${name} .vmsnapshot/trash/<uid>`

export class HeldAgent {
  readonly node: TestNode
  readonly watch: BoundaryWatch
  readonly #scene: Scene
  readonly #flags: readonly string[]
  #agent: AgentProcess
  #sentinels = 0

  private constructor(scene: Scene, node: TestNode, flags: readonly string[]) {
    this.#scene = scene
    this.node = node
    this.#flags = ['--listen-address=127.0.0.1:0', ...flags]
    this.watch = new BoundaryWatch(node.baseDir, join(dirname(node.baseDir), 'boundaries'))
    this.#agent = this.#start()
  }

  /** `server`: as of Scene.addNode. */
  static async start(scene: Scene, flags: readonly string[] = [], server?: string): Promise<HeldAgent> {
    return new HeldAgent(scene, await scene.addNode(server), flags)
  }

  #start(...more: readonly string[]): AgentProcess {
    return this.node.start([...this.#flags, ...more], { nodeFlags: this.watch.nodeFlags })
  }

  /** Once the one before has ended. */
  startAgain(...more: readonly string[]): void {
    this.#agent = this.#start(...more)
  }

  /** On disk and reported. */
  async snapshot(name: string, metadata: object = {}): Promise<void> {
    writeSnapshot(this.node.baseDir, name)
    await this.claim(name, name, metadata)
    await this.#scene.reason(name, 'Ready', 'Ready')
  }

  async claim(name: string, snapshotName: string, metadata: object = {}): Promise<void> {
    await this.#scene.create(name, { nodeName: this.node.name, snapshotName }, metadata)
  }

  /** Deletes it; `happens` happens while a thread of the agent other than the first is held there, and the first hears of it. */
  deleteAndHold(name: string, boundary: string, happens: () => unknown): Promise<void> {
    return this.#deleteAndHold(name, boundary, async () => {
      await happens()
      await this.#hasHeard()
    })
  }

  /** Deletes it; `happens` happens while all of the agent is held right after its barrier is written. */
  deleteAndHoldAtBarrier(name: string, happens: () => unknown): Promise<void> {
    return this.#deleteAndHold(name, `after PATCH vmsnapshots/${name}/status with its removal`, happens)
  }

  /** `begins` makes the agent let go of it; `happens` happens while all of the agent is held right before. */
  holdAtRelease(name: string, begins: () => unknown, happens: () => unknown): Promise<void> {
    return this.#hold(`before PATCH vmsnapshots/${name}`, begins, happens)
  }

  #deleteAndHold(name: string, boundary: string, happens: () => unknown): Promise<void> {
    return this.#hold(boundary, () => this.#scene.delete(name), happens)
  }

  async #hold(boundary: string, begins: () => unknown, happens: () => unknown): Promise<void> {
    this.watch.set(boundary, 'hold')
    try {
      await begins()
      await this.watch.held()
      await happens()
    } finally {
      this.watch.release()
    }
  }

  /** Deletes it, and the agent ends there. */
  async deleteAndKill(name: string, boundary: string): Promise<void> {
    this.watch.set(boundary, 'kill')
    await this.#scene.delete(name)
    await this.#agent.exited
    this.watch.release()
  }

  /**
   * Events of one kind come in order: once the agent counts an object that was made now, it knows all that was before. None is reported on while
   * the agent is held, so that those that are not are as many as there are.
   */
  async #hasHeard(): Promise<void> {
    const name = `sentinel-${++this.#sentinels}`
    await this.claim(`${name}-${this.node.name}`, name)
    const there = await this.#unreported()
    const known = () => this.#sum('vmsnapshot_snapshots{state="unreported"}')
    await until('the agent has heard of it', known, (count) => count === there)
  }

  async #unreported(): Promise<number> {
    const query = { fieldSelector: `spec.nodeName=${this.node.name}` }
    const path = collectionPath(vmSnapshotResource)
    const list = await this.#scene.connection.request({ method: 'GET', path, query })
    const { items } = list as { items: readonly VMSnapshot[] }
    return items.filter(({ metadata, status }) => status === undefined && metadata.deletionTimestamp === undefined)
      .length
  }

  /** Resolves once everything has been looked at again some times. */
  async severalLooks(): Promise<void> {
    const looks = () => this.#sum('vmsnapshot_inspections_total{')
    const before = await looks()
    await until('the agent has looked again', looks, (count) => count >= before + 4)
  }

  /** Of every series whose name begins so. */
  async #sum(beginning: string): Promise<number> {
    const addresses = () => [...this.#agent.log.matchAll(/"address":"([^"]+)"/g)]
    const [, address] = (await until('the agent serves', addresses, ({ length }) => length > 0)).at(-1) ?? []
    const lines = (await (await fetch(`http://${address}/metrics`)).text()).split('\n')
    const values = lines.filter((line) => line.startsWith(beginning)).map((line) => Number(line.split(' ').at(-1)))
    return values.reduce((sum, value) => sum + value, 0)
  }

  files(name: string): number {
    return existsSync(this.node.path(name)) ? readdirSync(this.node.path(name)).length : 0
  }

  /** Resolves once all of it is under its name. */
  async isWhole(name: string): Promise<void> {
    const files = () => this.files(name)
    await until(`${name} is whole under its name`, files, (count) => count === filesOfSnapshot)
  }
}
