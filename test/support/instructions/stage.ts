// Plays one instruction of docs/reasons.md: a state is created, the instruction is followed literally, and the state ends.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Reason } from '../../../src/api/reasons.ts'
import type { AgentOptions, AgentProcess } from '../agent-process.ts'
import { Mounts } from '../mounts.ts'
import { writeSnapshot } from '../sample-snapshots.ts'
import type { Scene, TestNode } from '../scene.ts'
import { until } from '../until.ts'

type ConditionType = 'Exists' | 'Restorable' | 'Ready' | 'DeletionBlocked' | 'StorageReady'

export interface Instruction {
  readonly reason: Reason
  /** the instruction, as a sentence that completes "to get rid of it:" */
  readonly advice: string
  /** where the reason shows: StorageReady of the VMSnapshotNode, else of the object; an object that shows DeletionBlocked is deleted for that */
  readonly shows: ConditionType
  readonly flags?: readonly string[]
  readonly how?: Pick<AgentOptions, 'through'>
  /** before the agent starts */
  readonly before?: (stage: Stage) => unknown
  /** creates the state; by default a whole snapshot and its object */
  readonly create?: (stage: Stage) => unknown
  readonly follow: (stage: Stage) => unknown
  /** reason of the same condition afterwards, or that the object is gone */
  readonly end: Reason | 'gone'
}

const patience = 60_000

export class Stage {
  readonly scene: Scene
  readonly node: TestNode
  readonly mounts = new Mounts()
  /** of the object and of its directory */
  readonly name: string
  agent: AgentProcess | undefined
  /** of another node, on the same base directory */
  other: AgentProcess | undefined
  /** a storage ID that was given up */
  retired: string | undefined
  /** takes a loop device down */
  detach: (() => void) | undefined
  readonly #cleanUp: (() => void)[] = []

  constructor(scene: Scene, node: TestNode) {
    this.scene = scene
    this.node = node
    this.name = node.name.replace('node', 'snap')
  }

  async play(instruction: Instruction): Promise<void> {
    const { reason, shows, flags, how, before, create, follow, end } = instruction
    await before?.(this)
    this.start(flags, how)
    if (shows !== 'StorageReady') await (create ?? ((stage: Stage) => stage.whole()))(this)
    else await create?.(this)
    if (shows === 'DeletionBlocked') await this.scene.delete(this.name)
    await this.shown(shows, reason)
    await follow(this)
    if (end === 'gone') await this.scene.gone(this.name, patience)
    else await this.shown(shows, end)
  }

  async close(): Promise<void> {
    for (const agent of [this.agent, this.other]) if (agent?.isRunning) await agent.end('SIGKILL')
    for (const cleanUp of this.#cleanUp.splice(0)) cleanUp()
    this.mounts[Symbol.dispose]()
  }

  /** Runs at the end, whatever happens. */
  finally(cleanUp: () => void): void {
    this.#cleanUp.push(cleanUp)
  }

  start(flags: readonly string[] = [], how: Pick<AgentOptions, 'through'> = {}, node = this.node): void {
    this.agent = node.start(flags, how)
  }

  async restart(flags: readonly string[] = [], node = this.node): Promise<void> {
    await this.agent?.end()
    this.start(flags, {}, node)
  }

  path(...names: readonly string[]): string {
    return this.node.path(this.name, ...names)
  }

  write(name = this.name, baseTemplate?: string): void {
    writeSnapshot(this.node.baseDir, name, baseTemplate === undefined ? {} : { baseTemplate })
  }

  /** The snapshot is taken again. */
  rewrite(baseTemplate?: string): void {
    rmSync(this.path(), { recursive: true, force: true })
    this.write(this.name, baseTemplate)
  }

  async describe(
    snapshotName = this.name,
    name = snapshotName.replaceAll('/', '-'),
    metadata: object = {},
  ): Promise<void> {
    await this.scene.create(name, { nodeName: this.node.name, snapshotName }, metadata)
  }

  async whole(): Promise<void> {
    this.write()
    await this.described()
  }

  /** An object for what is there, once the agent has inspected it. */
  async described(name = this.name): Promise<void> {
    await this.describe(name)
    const key = name.replaceAll('/', '-')
    await until(
      'it is inspected',
      () => this.scene.get(key),
      (object) => object?.status?.conditions !== undefined,
      { deadlineMs: patience },
    )
  }

  async shown(type: ConditionType, reason: string): Promise<void> {
    if (type !== 'StorageReady') return void (await this.scene.reason(this.name, type, reason, patience))
    const look = async () => (await this.record())?.status?.conditions?.find((found) => found.type === type)?.reason
    await until(`${type} is ${reason}`, look, (found) => found === reason, { deadlineMs: patience })
  }

  record() {
    return this.scene.nodes.get(this.node.name).catch(() => undefined)
  }

  async recordedID(): Promise<string> {
    const look = async () => (await this.record())?.status?.storageID
    return (await until('a storage ID is on record', look, Boolean, { deadlineMs: patience })) ?? ''
  }

  async retire(storageID?: string): Promise<void> {
    const retireStorageID = storageID ?? (await this.recordedID())
    const patch = JSON.stringify({ spec: { retireStorageID } })
    await this.scene.cluster.kubectl(['patch', 'vmsnapnode', this.node.name, '--type=merge', '-p', patch])
  }

  get marker(): string {
    return this.node.path('.vmsnapshot', 'storage-id')
  }

  get log(): string {
    return existsSync(join(this.node.baseDir, '..', 'agent.log'))
      ? readFileSync(join(this.node.baseDir, '..', 'agent.log'), 'utf8')
      : ''
  }

  directory(...names: readonly string[]): string {
    const path = this.node.path(...names)
    mkdirSync(path, { recursive: true })
    return path
  }
}
