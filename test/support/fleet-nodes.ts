// Nodes of a fleet with an agent each, and what is said of them: VMSnapshots that belong to no set, named after node and directory.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { API_VERSION } from '../../src/api/group.ts'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import type { AbandonedDirectory, UnclaimedRow } from '../../src/api/vmsnapshotnode.ts'
import type { AgentProcess } from './agent-process.ts'
import type { FleetScene } from './fleet-scene.ts'
import type { LightAgent } from './light-agents.ts'
import { DirectoryDisk } from './light-disk.ts'
import { writeSnapshot } from './sample-snapshots.ts'
import { until } from './until.ts'

const slow = { deadlineMs: 60_000 }

export class FleetNodes {
  readonly #fleet: FleetScene
  readonly #namespace: string

  constructor(fleet: FleetScene, namespace: string) {
    this.#fleet = fleet
    this.#namespace = namespace
  }

  /** With a light agent, on a disk that is really there and holds these directories. */
  async light(name: string, scene = name, snapshots: readonly string[] = []): Promise<LightAgent> {
    await this.#fleet.addNode(name, { scene })
    const disk = new DirectoryDisk(this.#fleet.baseDir(name))
    for (const snapshot of snapshots) disk.add(snapshot)
    return this.#fleet.agents.start(name, disk)
  }

  /** With the real agent, and whole snapshots that are claimed and Ready. */
  async whole(name: string, snapshots: readonly string[]): Promise<AgentProcess> {
    await this.#fleet.addNode(name, { scene: name })
    for (const snapshot of snapshots) writeSnapshot(this.#fleet.baseDir(name), snapshot)
    const agent = await this.#fleet.startAgent(name)
    for (const snapshot of snapshots) await this.claim(name, snapshot)
    return agent
  }

  /** Makes a VMSnapshot and waits until Ready of it has this reason. Its uid. */
  async claim(nodeName: string, snapshotName: string, reason = 'Ready'): Promise<string> {
    const metadata = { name: `${nodeName}-${snapshotName}` }
    const body = { apiVersion: API_VERSION, kind: 'VMSnapshot', metadata, spec: { nodeName, snapshotName } }
    const made = await this.#fleet.snapshots.create(body, this.#namespace)
    await this.says(nodeName, snapshotName, reason)
    return made.metadata.uid
  }

  async delete(nodeName: string, snapshotName: string): Promise<void> {
    await this.#fleet.snapshots.delete(`${this.#namespace}/${nodeName}-${snapshotName}`)
  }

  /** Of a set or of none. */
  async find(nodeName: string, snapshotName: string): Promise<VMSnapshot | undefined> {
    const fieldSelector = `spec.nodeName=${nodeName},spec.snapshotName=${snapshotName}`
    const [found] = await this.#fleet.snapshots.list({ namespace: this.#namespace, fieldSelector })
    return found
  }

  has(disk: string, snapshotName: string): boolean {
    return existsSync(join(this.#fleet.baseDir(disk), snapshotName))
  }

  /** Waits until Ready of a VMSnapshot has this reason. */
  says(nodeName: string, snapshotName: string, reason: string) {
    return this.#fleet.reason(() => this.find(nodeName, snapshotName), 'Ready', reason)
  }

  /** Waits until its deletion is held up for this reason. */
  isBlocked(nodeName: string, snapshotName: string, reason: string) {
    return this.#fleet.reason(() => this.find(nodeName, snapshotName), 'DeletionBlocked', reason)
  }

  async deleting(nodeName: string, snapshotName: string): Promise<void> {
    const look = async () => (await this.find(nodeName, snapshotName))?.metadata.deletionTimestamp
    await until(`${snapshotName} of ${nodeName} is being deleted`, look, Boolean, slow)
  }

  async gone(nodeName: string, snapshotName: string): Promise<void> {
    const look = () => this.find(nodeName, snapshotName)
    await until(`${snapshotName} of ${nodeName} is gone`, look, (seen) => seen === undefined, slow)
  }

  /** Waits until AgentReady of the VMSnapshotNode has this reason. */
  agentIs(nodeName: string, reason: string) {
    return this.#fleet.reason(() => this.#fleet.record(nodeName), 'AgentReady', reason)
  }

  async forgotten(nodeName: string): Promise<void> {
    const look = () => this.#fleet.record(nodeName)
    await until(`VMSnapshotNode ${nodeName} is gone`, look, (seen) => seen === undefined, slow)
  }

  /** Waits until the inventory of the node lists the directory, and whose it was where that is asked for. */
  async unclaimed(nodeName: string, snapshotName: string, formerOwner?: string): Promise<UnclaimedRow> {
    const isIt = (row: UnclaimedRow | undefined) => row !== undefined && row.formerOwner === formerOwner
    const look = async () => {
      const { unclaimed = [] } = (await this.#fleet.record(nodeName))?.status ?? {}
      return unclaimed.find((row) => row.snapshotName === snapshotName)
    }
    return (await until(`${snapshotName} of ${nodeName} is unclaimed`, look, isIt, slow)) as UnclaimedRow
  }

  async abandoned(nodeName: string): Promise<readonly AbandonedDirectory[]> {
    return (await this.#fleet.record(nodeName))?.status?.abandoned ?? []
  }
}
