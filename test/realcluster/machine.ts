// What of a cluster the machine can have on it, one line a thing: to compare before and after, and to end what an earlier run left.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../image/shell.ts'
import { hierarchies } from './cgroups.ts'
import { kubeletSettings } from './namespaces.ts'
import { mark, markVariable } from './place.ts'

/** Beyond those of a kubelet: what network plug-ins set. */
const settings = [
  ...kubeletSettings,
  'net/ipv4/ip_forward',
  'net/ipv4/conf/all/forwarding',
  'net/ipv4/conf/all/route_localnet',
]
/** Where kubelet, containerd and their plug-ins write unless told. */
const usualPlaces = [
  ...['/etc/cni', '/opt/cni', '/opt/containerd', '/run/containerd', '/run/netns', '/usr/libexec/kubernetes'],
  ...['/var/lib/cni', '/var/lib/containerd', '/var/lib/kubelet', '/var/log/containers', '/var/log/pods'],
  ...['/var/lib/vmsnapshot', join(tmpdir(), mark)],
]

export type Traces = ReadonlySet<string>

export async function traces(): Promise<Traces> {
  const found = [
    ...markedProcesses().map(({ pid, command }) => `process ${pid} ${command}`),
    ...mounts().map((line) => `mount ${line}`),
    ...cgroups().map((path) => `cgroup ${path}`),
    ...settings.map((name) => `setting ${name} = ${settingOf(name)}`),
    ...usualPlaces.filter(existsSync).map((path) => `directory ${path}`),
    ...(await links()).map((name) => `network link ${name}`),
    ...(await rules()).map((rule) => `iptables ${rule}`),
  ]
  return new Set(found)
}

/** `+` what is there and was not, `-` what was and is not. */
export function difference(before: Traces, after: Traces): readonly string[] {
  const come = [...after].filter((line) => !before.has(line))
  const gone = [...before].filter((line) => !after.has(line))
  return [...come.map((line) => `+ ${line}`), ...gone.map((line) => `- ${line}`)]
}

export interface MarkedProcess {
  readonly pid: number
  readonly command: string
}

/** Processes that a run started, by the environment that they inherited or the cgroup that they are in. */
export function markedProcesses(): readonly MarkedProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => isMarked(pid))
    .map((pid) => ({ pid: Number(pid), command: readOr(`/proc/${pid}/comm`).trim() }))
}

/** Ends them, at once. */
export function endMarked(): void {
  for (const { pid } of markedProcesses()) process.kill(pid, 'SIGKILL')
}

function isMarked(pid: string): boolean {
  return (
    readOr(`/proc/${pid}/environ`)
      .split('\0')
      .some((entry) => entry.startsWith(`${markVariable}=`)) || readOr(`/proc/${pid}/cgroup`).includes(`/${mark}-`)
  )
}

/** What is gone, or nobody may read, is empty. */
function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Other tests mount below directories of their own for temporary files, and where images are built; those are theirs. */
function mounts(): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' '))
    .filter(
      ([, path = '']) => path.includes(mark) || !(path.startsWith(`${tmpdir()}/`) || path.includes('/images/storage/')),
    )
    .map(([device, path, type]) => `${device} ${path} ${type}`)
}

function cgroups(): readonly string[] {
  return hierarchies().flatMap(({ path }) =>
    readdirSync(path)
      .filter((name) => name.startsWith(mark) || name.startsWith('kube') || name === 'k8s.io')
      .map((name) => join(path, name)),
  )
}

function settingOf(name: string): string {
  return readOr(`/proc/sys/${name}`).trim()
}

async function links(): Promise<readonly string[]> {
  const lines = (await run('ip', ['-oneline', 'link', 'show'])).split('\n')
  return lines.map((line) => line.split(' ')[1] ?? '')
}

async function rules(): Promise<readonly string[]> {
  const lines = (await run('iptables-save', [])).split('\n')
  return lines.filter((line) => line.startsWith('-A')).sort()
}
