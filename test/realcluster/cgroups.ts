// A node's share of every cgroup hierarchy of the machine: its kubelet makes the Pods' groups below. Whatever runs for a node is somewhere
// in its tree of the hierarchy `pids`, and is found there to end it, also by a later run.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/until.ts'

export interface Hierarchy {
  /** controller, or the name of one without */
  readonly name: string
  readonly path: string
}

/** Of version 1, and the unified one beside them. */
export function hierarchies(): readonly Hierarchy[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type = '']) => type === 'cgroup' || type === 'cgroup2')
    .flatMap(([, path = '', , options = '']) => namesIn(options).map((name) => ({ name, path })))
}

/** `rw,cpu,cpuacct` mounts two controllers at one place. */
function namesIn(options: string): readonly string[] {
  const words = options.split(',').filter((word) => /^(name=)?[a-z_]+$/.test(word))
  const names = words.filter((word) => !/^(rw|ro|relatime|noatime|nosuid|nodev|noexec|xattr|nsdelegate)$/.test(word))
  return names.length === 0 ? ['unified'] : names
}

const pids = () => hierarchies().find(({ name }) => name === 'pids')?.path ?? ''

/** Makes the tree of a node. A cpuset is born empty, and nobody can run in it until it has processors and memory. */
export function makeCgroups(group: string): void {
  for (const { name, path } of hierarchies()) {
    mkdirSync(join(path, group), { recursive: true })
    if (name !== 'cpuset') continue
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      writeFileSync(join(path, group, file), readFileSync(join(path, file)))
    }
  }
  mkdirSync(join(pids(), group, 'programs'), { recursive: true })
}

/** A command before another: that one, and all that comes of it, runs for the node. */
export function inCgroup(group: string): readonly string[] {
  return ['sh', '-c', 'echo $$ > "$0" && exec "$@"', join(pids(), group, 'programs', 'cgroup.procs')]
}

/** Every process of the node, of its Pods too; or of those of its groups that end with `name`. */
export function processesIn(group: string, name = ''): readonly number[] {
  const groups = treeOf(join(pids(), group)).filter((path) => path.endsWith(name))
  return groups.flatMap((path) =>
    readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number),
  )
}

/** Ends what runs in it, but for one process. */
export async function endProcesses(group: string, spared = 0): Promise<void> {
  const killAll = () => {
    const found = processesIn(group).filter((pid) => pid !== spared)
    for (const pid of found) kill(pid)
    return found
  }
  await until(`no process in cgroup ${group}`, killAll, (found) => found.length === 0, { deadlineMs: 60_000 })
}

/** Ends what runs in it, and takes it away. */
export async function removeCgroups(group: string): Promise<void> {
  await endProcesses(group)
  // The kernel lets go of a group a moment after its last process.
  const remaining = () => hierarchies().filter(({ path }) => !isRemoved(join(path, group)))
  await until(`cgroup ${group} is gone`, remaining, (left) => left.length === 0)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function isRemoved(path: string): boolean {
  try {
    for (const group of treeOf(path).toReversed()) rmdirSync(group)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
    return false
  }
}

/** The group and all below it, parents first. */
export function treeOf(path: string): readonly string[] {
  if (!existsSync(path)) return []
  const below = readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name))
  return [path, ...below.filter((entry) => existsSync(entry) && statSync(entry).isDirectory())]
}
