// The network and mount namespaces of a node, held by a process that does nothing. In its mounts the node has directories of its own where
// kubelet, containerd and their plug-ins have fixed places, and private copies of the kernel settings that a kubelet writes for the
// whole machine.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { run } from '../image/shell.ts'
import { until } from '../support/until.ts'
import { inCgroup } from './cgroups.ts'
import type { Place } from './place.ts'

/** Below /proc/sys: what a kubelet sets at its start. */
export const kubeletSettings = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
]

export class Namespaces {
  readonly #holder: ChildProcess

  private constructor(holder: ChildProcess) {
    this.#holder = holder
  }

  static async make(place: Place): Promise<Namespaces> {
    const [command = '', ...args] = [...inCgroup(place.cgroup), 'unshare', '--net', '--mount', 'sleep', 'infinity']
    const made = new Namespaces(spawn(command, args, { stdio: 'ignore' }))
    const isOwn = () => ['mnt', 'net'].every((kind) => made.#namespace(kind) !== readlinkSync(`/proc/self/ns/${kind}`))
    // The program of the holder runs once the namespaces are there, and only then is nothing shared with the machine.
    await until(
      `namespaces of ${place.name}`,
      () => isOwn() && made.#program === 'sleep',
      (answer) => answer,
    )
    await made.#arrange(place.directory)
    return made
  }

  get pid(): number {
    return this.#holder.pid ?? 0
  }

  get #program(): string {
    return readFileSync(`/proc/${this.pid}/comm`, 'utf8').trim()
  }

  #namespace(kind: string): string {
    return readlinkSync(`/proc/${this.pid}/ns/${kind}`)
  }

  /** A command before another, which then runs inside. */
  get entry(): readonly string[] {
    return ['nsenter', `--target=${this.pid}`, '--mount', '--net', '--']
  }

  run(command: string, ...args: readonly string[]): Promise<string> {
    const [first = '', ...rest] = [...this.entry, command, ...args]
    return run(first, rest)
  }

  async #arrange(directory: string): Promise<void> {
    // What is mounted for a node later reaches its Pods, as on a host with systemd.
    await this.run('mount', '--make-rshared', '/')
    const varLib = join(directory, 'var-lib')
    mkdirSync(varLib, { recursive: true })
    await this.run('mount', '--bind', varLib, '/var/lib')
    for (const path of ['/run', '/var/log']) await this.run('mount', '-t', 'tmpfs', 'tmpfs', path)
    mkdirSync(join(directory, 'settings'), { recursive: true })
    for (const setting of kubeletSettings) {
      const copy = join(directory, 'settings', basename(setting))
      writeFileSync(copy, readFileSync(`/proc/sys/${setting}`))
      await this.run('mount', '--bind', copy, `/proc/sys/${setting}`)
    }
  }
}
