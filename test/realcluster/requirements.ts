// Whether a real cluster can be here at all. Looks, and changes nothing.
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { whyNoImages } from '../image/image.ts'
import { hierarchies } from './cgroups.ts'
import { cniPlugins } from './runtime.ts'

/** program -> Debian package */
const programs = {
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  buildah: 'buildah',
  ip: 'iproute2',
  iptables: 'iptables',
  nsenter: 'util-linux',
  openssl: 'openssl',
  'mkfs.ext4': 'e2fsprogs',
}
/** What a kubelet on cgroup v1 asks for. */
const controllers = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'devices', 'freezer']

/** undefined: it can be; else why not, in a line. */
export async function whyNoCluster(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root can, on Linux'
  const missing = new Set(
    Object.entries(programs)
      .filter(([program]) => !isInstalled(program))
      .map(([, name]) => name),
  )
  if (!existsSync(join(cniPlugins, 'bridge'))) missing.add('containernetworking-plugins')
  if (missing.size > 0) return `programs are missing (Debian: apt-get install ${[...missing].join(' ')})`
  const found = hierarchies().map(({ name }) => name)
  const lacking = controllers.filter((name) => !found.includes(name))
  if (lacking.length > 0) return `cgroup v1 hierarchies are needed, and there is none for ${lacking.join(', ')}`
  if (!readFileSync('/proc/filesystems', 'utf8').includes('overlay')) return 'the kernel has no overlayfs'
  return whyNoImages()
}

function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((path) => existsSync(join(path, program)))
}
