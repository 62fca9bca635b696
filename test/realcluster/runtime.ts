// A node's container runtime: Debian's containerd and runc, with everything they keep below the node's own directory.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Program } from '../controlplane/programs.ts'
import { until } from '../support/until.ts'
import { inCgroup } from './cgroups.ts'
import { pauseImage } from './images.ts'
import type { Namespaces } from './namespaces.ts'
import type { Place } from './place.ts'

export const cniPlugins = '/usr/lib/cni'
const binaries = '/usr/bin'

export class Runtime {
  readonly #place: Place
  readonly #inside: Namespaces
  #containerd: Program | undefined

  constructor(place: Place, inside: Namespaces) {
    this.#place = place
    this.#inside = inside
    mkdirSync(this.#cniDirectory, { recursive: true })
    writeFileSync(join(this.#cniDirectory, '10-pods.conflist'), JSON.stringify(podNetwork(place)))
    writeFileSync(this.#configFile, containerdConfig(this.#cniDirectory))
  }

  get socket(): string {
    return join(this.#place.directory, 'containerd.sock')
  }

  get #configFile(): string {
    return join(this.#place.directory, 'containerd.toml')
  }

  get #cniDirectory(): string {
    return join(this.#place.directory, 'cni')
  }

  /** Also again: containers outlive it. */
  async start(): Promise<void> {
    const { directory, cgroup } = this.#place
    const args = [`--config=${this.#configFile}`, `--address=${this.socket}`]
    const places = ['--root=/var/lib/containerd', '--state=/run/containerd']
    const through = [...inCgroup(cgroup), ...this.#inside.entry]
    const containerd = new Program(binaries, 'containerd', [...args, ...places], directory, through)
    this.#containerd = containerd
    const answers = () =>
      this.#ctr('version').then(
        () => true,
        () => !containerd.isRunning,
      )
    await until('containerd answers', answers, (answer) => answer, { deadlineMs: 60_000 })
    if (!containerd.isRunning) throw new Error(`containerd ended:\n${containerd.tail}`)
  }

  async stop(): Promise<void> {
    await this.#containerd?.kill()
  }

  async import(archive: string): Promise<void> {
    if (!existsSync(archive)) throw new Error(`${archive} is not there`)
    await this.#ctr('--namespace=k8s.io', 'images', 'import', archive)
  }

  #ctr(...args: readonly string[]): Promise<string> {
    return this.#inside.run('ctr', `--address=${this.socket}`, ...args)
  }
}

/** No AppArmor and no lower OOM score than one's own, since a machine without them should do; `opt` would write outside of the node's directory. */
function containerdConfig(cniDirectory: string): string {
  return `version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${cniPlugins}"
    conf_dir = "${cniDirectory}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`
}

function podNetwork({ podSubnet }: Place): object {
  const ipam = { type: 'host-local', ranges: [[{ subnet: podSubnet }]], routes: [{ dst: '0.0.0.0/0' }] }
  const plugin = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: true, ipam }
  return { cniVersion: '1.0.0', name: 'pods', plugins: [plugin] }
}
