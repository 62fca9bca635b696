// A node: namespaces, network, containerd and kubelet of its own on this machine, and disks that are mounted as its base directory.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../image/shell.ts'
import { endProcesses, makeCgroups, removeCgroups } from './cgroups.ts'
import { Kubelet } from './kubelet.ts'
import { Namespaces } from './namespaces.ts'
import { connect, disconnect } from './network.ts'
import type { Place } from './place.ts'
import { Runtime } from './runtime.ts'

const baseDirectory = '/var/lib/vmsnapshot/snapshots'

export interface NodeOptions {
  readonly place: Place
  readonly apiServer: URL
  readonly kubeconfig: string
  readonly clientCAFile: string
  /** of the images that it has from the beginning */
  readonly archives: readonly string[]
}

export class RealNode {
  readonly place: Place
  readonly inside: Namespaces
  readonly runtime: Runtime
  readonly kubelet: Kubelet

  private constructor(options: NodeOptions, inside: Namespaces) {
    const { place, kubeconfig, clientCAFile } = options
    this.place = place
    this.inside = inside
    this.runtime = new Runtime(place, inside)
    this.kubelet = new Kubelet({ place, inside, kubeconfig, clientCAFile, runtimeSocket: this.runtime.socket })
  }

  /** Its kubelet has started when it resolves, and has not registered yet. */
  static async start(options: NodeOptions): Promise<RealNode> {
    const { place, apiServer, archives } = options
    mkdirSync(place.directory, { recursive: true })
    makeCgroups(place.cgroup)
    const inside = await Namespaces.make(place)
    const node = new RealNode(options, inside)
    await connect(place, inside, apiServer)
    await node.mount('first')
    await node.runtime.start()
    for (const archive of archives) await node.runtime.import(archive)
    await node.kubelet.start()
    return node
  }

  get name(): string {
    return this.place.name
  }

  /** Path by which this machine reaches a disk: whatever is mounted as the base directory, or one by its name that is a directory. */
  disk(name?: string): string {
    if (name === undefined) return join('/proc', String(this.inside.pid), 'root', baseDirectory)
    return join(this.place.directory, 'disks', name)
  }

  /** Mounts a disk that is a directory of the machine's own, an empty one where there is none of the name, as the base directory. */
  async mount(name: string): Promise<void> {
    mkdirSync(this.disk(name), { recursive: true })
    mkdirSync(join(this.place.directory, 'var-lib', 'vmsnapshot', 'snapshots'), { recursive: true })
    await this.inside.run('mount', '--bind', this.disk(name), baseDirectory)
  }

  /** Mounts a small disk with a file system of its own, a new one where there is none of the name. */
  async mountImage(name: string): Promise<void> {
    const image = `${this.disk(name)}.ext4`
    if (!existsSync(image)) {
      await run('truncate', ['--size', '64M', image])
      await run('mkfs.ext4', ['-q', '-m', '0', '-b', '4096', image])
    }
    await this.inside.run('mount', '-o', 'loop', image, baseDirectory)
  }

  /** Whether a loop device still has the image. */
  async holdsImage(name: string): Promise<boolean> {
    return (await run('losetup', ['--associated', `${this.disk(name)}.ext4`])) !== ''
  }

  /** Lazily: the kernel calls the directory busy while the agent has it open in its own mounts. Below it there is an empty directory. */
  async unmount(): Promise<void> {
    await this.inside.run('umount', '--lazy', baseDirectory)
  }

  /** As a power cut: whatever runs on it ends at once. Its disks stay. */
  async switchOff(): Promise<void> {
    await this.kubelet.stop()
    await this.runtime.stop()
    await endProcesses(this.place.cgroup, this.inside.pid)
  }

  async switchOn(): Promise<void> {
    await this.runtime.start()
    await this.kubelet.start()
  }
}

/** Ends whatever runs on a node of this place, of this run or an earlier one, and leaves nothing of it. */
export async function removeNode(place: Place): Promise<void> {
  await removeCgroups(place.cgroup)
  await disconnect(place)
  rmSync(place.directory, { recursive: true, force: true })
}
