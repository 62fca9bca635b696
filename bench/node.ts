// A node of a benchmark: a directory for each snapshot, CoW over one template, an object for each in a namespace of the node's name, and the kubeconfig
// that its agent would have. Nobody looks after them yet.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type VMSnapshot, vmSnapshotKind, vmSnapshotResource } from '../src/api/vmsnapshot.ts'
import type { Connection } from '../src/kube/connection.ts'
import { Client } from '../src/kube/resource.ts'
import type { Cluster } from '../test/controlplane/cluster.ts'
import { writeTemplate } from '../test/support/sample-snapshots.ts'
import { writeDirectories } from './directories.ts'
import { podEnvironment } from './image-environment.ts'
import { Running } from './running.ts'

const creators = 8
/** Many agents run on one machine here. */
const LISTEN_ADDRESS = '127.0.0.1:0'

export class BenchNode {
  readonly name: string
  readonly baseDir: string
  readonly kubeconfig: string
  /** of the snapshots, the directories are called the same */
  readonly names: readonly string[]

  private constructor(name: string, baseDir: string, kubeconfig: string, names: readonly string[]) {
    this.name = name
    this.baseDir = baseDir
    this.kubeconfig = kubeconfig
    this.names = names
  }

  /** Without its objects. `directory`: where its base directory is made. */
  static async make(cluster: Cluster, name: string, directory: string, snapshots: number): Promise<BenchNode> {
    await cluster.addNode(name)
    await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    const baseDir = join(directory, name, 'snapshots')
    const names = writeDirectories(baseDir, snapshots, { baseTemplate: writeTemplate(baseDir) })
    return new BenchNode(name, baseDir, await cluster.agentKubeconfig(name), names)
  }

  /** Of every object. */
  get keys(): readonly string[] {
    return this.names.map((name) => `${this.name}/${name}`)
  }

  get logFile(): string {
    return join(this.baseDir, '..', 'agent.log')
  }

  /** What still lies there of the snapshots. */
  get left(): readonly string[] {
    return readdirSync(this.baseDir).filter((entry) => this.names.includes(entry))
  }

  /** Our agent from the bundle in `dist`, with the environment of the chart's Pod but for what `env` says. */
  start(dist: string, flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Running {
    const own = { NODE_NAME: this.name, BASE_DIR: this.baseDir, KUBECONFIG: this.kubeconfig, LISTEN_ADDRESS }
    const args = [join(dist, 'main.js'), 'agent', ...flags]
    return new Running(process.execPath, args, { ...podEnvironment('agent'), ...own, ...env }, this.logFile)
  }

  async createObjects(connection: Connection): Promise<void> {
    const client = new Client(connection, vmSnapshotResource)
    const due = [...this.names]
    const create = async () => {
      for (let name = due.pop(); name !== undefined; name = due.pop()) {
        const spec = { nodeName: this.name, snapshotName: name }
        await client.create({ ...vmSnapshotKind, metadata: { name }, spec }, this.name)
      }
    }
    await Promise.all(Array.from({ length: creators }, create))
  }
}

/** Status of a condition. */
export function verdictOf(object: VMSnapshot | undefined, type: string): string | undefined {
  return object?.status?.conditions?.find((condition) => condition.type === type)?.status
}
