// The whole world of a run: a control plane, three nodes with agents, and everybody who watches. Operations change it; whatever is seen is
// noted, and held against the invariants as soon as it is seen.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type VMSnapshot, vmSnapshotResource } from '../../src/api/vmsnapshot.ts'
import { type VMSnapshotSet, vmSnapshotSetResource } from '../../src/api/vmsnapshotset.ts'
import { Connection } from '../../src/kube/connection.ts'
import { keyOf } from '../../src/kube/resource.ts'
import type { ControlPlane } from '../controlplane/control-plane.ts'
import { until } from '../support/until.ts'
import { Definitions } from './definitions.ts'
import { DenyingPolicy } from './denying-policy.ts'
import { History } from './history.ts'
import { Journal } from './journal.ts'
import type { Act } from './judge.ts'
import { Machine } from './machine.ts'
import { People, unless } from './people.ts'
import { summaryOf } from './summary.ts'
import { type NodeName, nodes, type Slot } from './universe.ts'
import type { Violation } from './violation.ts'
import { Watchman } from './watchman.ts'

export interface WorldOptions {
  readonly controlPlane: ControlPlane
  /** before every name, so that runs in one control plane keep apart */
  readonly run: string
  /** a directory for everything on disk */
  readonly root: string
  /** file of the agent's program; undefined: the sources */
  readonly program?: string | undefined
}

const lookMs = 15

export class World {
  readonly journal: Journal
  readonly people: People
  readonly definitions: Definitions
  readonly snapshots: History<VMSnapshot>
  readonly sets: History<VMSnapshotSet>
  readonly machines: readonly Machine[]
  readonly controlPlane: ControlPlane
  protected readonly connection: Connection
  protected readonly ending = new AbortController()
  readonly #run: string
  readonly #watchman: Watchman
  readonly #following: Promise<unknown>
  readonly #looking: NodeJS.Timeout
  readonly #background: Promise<void>[] = []
  #isServing = true
  #isDenying = false

  protected constructor({ controlPlane, run }: WorldOptions, journal: Journal, machines: readonly Machine[]) {
    this.controlPlane = controlPlane
    this.journal = journal
    this.machines = machines
    this.#run = run
    this.connection = new Connection({ kubeconfig: controlPlane.cluster.adminKubeconfig, userAgent: 'model' })
    this.people = new People(this.connection)
    this.definitions = new Definitions(controlPlane.cluster, () => journal.now())
    const common = { connection: this.connection, now: () => journal.now() }
    this.snapshots = new History({
      ...common,
      resource: vmSnapshotResource,
      onChange: (before, after) => this.objectChanged(before, after),
    })
    this.sets = new History({
      ...common,
      resource: vmSnapshotSetResource,
      onChange: (before, after) => this.setChanged(before, after),
    })
    this.#watchman = new Watchman({
      ...this,
      terminating: this.definitions.terminating,
      mayLetGo: (object, act) => this.mayLetGo(object, act),
    })
    const { signal } = this.ending
    this.#following = Promise.all([this.snapshots.follow(signal), this.sets.follow(signal)])
    this.#looking = setInterval(() => this.#watchman.look(), lookMs)
  }

  /** Every node with a running agent and an empty disk. */
  static async open(options: WorldOptions): Promise<World> {
    const journal = new Journal()
    const world = new World(options, journal, await World.machinesOf(options, journal))
    for (const machine of world.machines) machine.start()
    await world.isWatched()
    return world
  }

  protected static machinesOf(
    { run, root, program, controlPlane }: WorldOptions,
    journal: Journal,
  ): Promise<Machine[]> {
    const { cluster } = controlPlane
    const made = nodes.map((label) => {
      const own = join(root, label)
      mkdirSync(own, { recursive: true })
      return Machine.make({ label, name: `${run}-${label}`, root: own, cluster, program, journal })
    })
    return Promise.all(made)
  }

  /** Machines that are nodes of the cluster, and whose agents are to run. */
  get attended(): readonly Machine[] {
    return this.machines
  }

  /** Seen on a disk that somebody gave up. */
  isGivenUp(_object: VMSnapshot): boolean {
    return false
  }

  /** Another reason than its policy for which an object could be let go while its directory stays. */
  protected mayLetGo(_object: VMSnapshot, _act: Act): string | undefined {
    return undefined
  }

  protected get histories(): readonly Pick<History<never>, 'state'>[] {
    return [this.snapshots, this.sets]
  }

  /** What did not hold first, if anything. */
  get violation(): Violation | undefined {
    return this.#watchman.violation
  }

  /** What agents did so far. */
  get counts(): Readonly<Record<string, number>> {
    return this.#watchman.counts
  }

  /** Whether the API server runs. */
  get isServing(): boolean {
    return this.#isServing
  }

  machine(label: NodeName): Machine {
    const found = this.machines.find((machine) => machine.label === label)
    if (found === undefined) throw new Error(`no node ${label}`)
    return found
  }

  machineOf(nodeName: string): Machine | undefined {
    return this.machines.find(({ name }) => name === nodeName)
  }

  namespaceOf(name: string): string {
    return `${this.#run}-${name}`
  }

  keyOf({ namespace, name }: Slot): string {
    return `${this.namespaceOf(namespace)}/${name}`
  }

  /** As the watch knows it now. */
  objectAt(slot: Slot): VMSnapshot | undefined {
    const key = this.keyOf(slot)
    return this.snapshots.current.find((object) => keyOf(object) === key)
  }

  /** Nobody can reach the API server for so long, the test neither. */
  async outage(ms: number): Promise<void> {
    for (const machine of this.machines) machine.disturbances.begin('outage')
    this.#isServing = false
    await this.controlPlane.stopAPIServer()
    await sleep(ms)
    await this.controlPlane.startAPIServer()
    await this.isWatched()
    this.journal.note('the API server is back')
    this.#isServing = true
    for (const machine of this.machines) machine.disturbances.end('outage')
  }

  /** A policy denies the agents' updates of the resource for so long. */
  async deny(resource: string, ms: number): Promise<void> {
    this.#isDenying = true
    const policy = new DenyingPolicy(this.connection, this.#run)
    try {
      await policy.create(resource)
      await sleep(ms)
    } catch (error) {
      this.journal.note(`  refused: ${error instanceof Error ? error.message : error}`)
    } finally {
      await policy.remove()
      this.journal.note('the policy is gone')
      this.#isDenying = false
    }
  }

  get isDenying(): boolean {
    return this.#isDenying
  }

  /** Runs what may be refused, and notes that it was. */
  async attempt(run: () => Promise<unknown>): Promise<void> {
    try {
      await run()
    } catch (error) {
      this.journal.note(`  refused: ${error instanceof Error ? error.message : error}`)
    }
  }

  /** For an operation that takes its time while others go on. It must not fail. */
  inBackground(work: Promise<void>): void {
    this.#background.push(work)
  }

  async backgroundEnded(): Promise<void> {
    while (this.#background.length > 0) await Promise.all(this.#background.splice(0))
  }

  /** Resolves once no change goes unseen. */
  async isWatched(): Promise<void> {
    const states = () => this.histories.map(({ state }) => state)
    await until('everything is watched', states, (seen) => !seen.includes('behind'))
  }

  /** Resolves once there is nothing that is not defined. */
  async isDefined(): Promise<void> {
    const states = () => this.histories.map(({ state }) => state)
    await until('everything is defined', states, (seen) => seen.every((state) => state === 'following'))
  }

  /** As a person does, by hand; also where it is gone or retained already. */
  async retain(object: VMSnapshot): Promise<void> {
    const retain = [{ op: 'replace', path: '/spec/deletionPolicy', value: 'Retain' }] as const
    await this.people.snapshots.patch(keyOf(object), retain).catch(unless('NotFound'))
  }

  protected objectChanged(before: VMSnapshot | undefined, after: VMSnapshot | undefined): void {
    const object = after ?? before
    const machine = object === undefined ? undefined : this.machineOf(object.spec.nodeName)
    if (object === undefined || machine === undefined) return
    const { uid } = object.metadata
    machine.note(
      `${keyOf(object)} ${summaryOf(before, after)}`,
      uid,
      keyOf(object),
      `${machine.label}/${object.spec.snapshotName}`,
    )
    this.#watchman.objectChanged(machine, before, after)
  }

  protected setChanged(_before: VMSnapshotSet | undefined, _after: VMSnapshotSet | undefined): void {}

  async close(): Promise<void> {
    await this.backgroundEnded()
    clearInterval(this.#looking)
    this.ending.abort()
    await this.#following.catch(() => {})
    await Promise.all(this.machines.map((machine) => machine.close()))
    this.connection.close()
  }
}
