// File systems of a test's own: images on loop devices, tmpfs and FUSE, all unmounted when it ends. Root and some Debian packages are needed.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sampleSnapfile } from './sample-snapshots.ts'

const runs = (command: string, ...args: readonly string[]) => spawnSync(command, args).status === 0

export const canMount = runs('unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt')
export const hasLoop = canMount && existsSync('/dev/loop-control') && runs('mkfs.ext4', '-V')
export const hasXfs = hasLoop && runs('mkfs.xfs', '-V')
export const hasBtrfs = hasLoop && runs('mkfs.btrfs', '--version') && runs('btrfs', '--version')
/** Whether files can be made immutable where temporary directories are made. */
export const hasAttributes = canSetAttributes()
export const hasFuse = canMount && existsSync('/dev/fuse') && runs('bindfs', '--version')
const lacking = [
  ...(hasLoop ? [] : ['root, loop devices and e2fsprogs']),
  ...(hasXfs ? [] : ['xfsprogs']),
  ...(hasBtrfs ? [] : ['btrfs-progs']),
  ...(hasAttributes ? [] : ['root, and a file system with immutable files']),
  ...(hasFuse ? [] : ['/dev/fuse and bindfs']),
]
if (lacking.length > 0) console.warn(`SKIPPED: tests on mounted file systems that need ${lacking.join('; ')}`)

function canSetAttributes(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-attributes-'))
  const isSet = runs('chattr', '+i', directory)
  runs('chattr', '-i', directory)
  rmSync(directory, { recursive: true })
  return isSet
}

export type FileSystem = 'ext4' | 'xfs'
export const fileSystems: readonly FileSystem[] = [
  ...(hasLoop ? ['ext4' as const] : []),
  ...(hasXfs ? ['xfs' as const] : []),
]

export class Mounts {
  readonly #mounted: string[] = []

  mount(path: string, ...options: readonly string[]): void {
    mkdirSync(path, { recursive: true })
    execFileSync('mount', [...options, path])
    this.#mounted.push(path)
  }

  tmpfs(path: string): void {
    this.mount(path, '-t', 'tmpfs', 'tmpfs')
  }

  image(path: string, image: string): void {
    // Two images made alike have one UUID, and XFS takes only one of them.
    this.mount(path, '-o', 'loop', image)
  }

  /** A second place for a directory or a file, which has to be there. */
  bind(from: string, path: string): void {
    execFileSync('mount', ['--bind', from, path])
    this.#mounted.push(path)
  }

  /** What lies on top at `path`; throws where something keeps it busy. */
  unmount(path: string, ...options: readonly string[]): void {
    execFileSync('umount', [...options, path], { stdio: 'pipe' })
    this.#mounted.splice(this.#mounted.lastIndexOf(path), 1)
  }

  remount(path: string, option: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${option}`, path])
  }

  /** Where on its disk a file begins. */
  firstByte(path: string): number {
    execFileSync('sync', ['--file-system', path])
    const extents = execFileSync('filefrag', ['-v', '-b512', path], { encoding: 'utf8' })
    return 512 * Number(/^ +0: +\d+\.\. +\d+: +(\d+)/m.exec(extents)?.[1])
  }

  /** To the last block and the last inode. */
  fill(path: string): void {
    const most = `fallocate -l 18M ${path}/most; cat /dev/zero > ${path}/filler`
    const rest = `i=0; while echo x > ${path}/filler.$i; do i=$((i+1)); done`
    spawnSync('sh', ['-c', `${most}; ${rest}`], { timeout: 20_000 })
  }

  /** Shows `from` at `path`, served by a process of its own; its process ID. */
  fuse(path: string, from: string): number {
    mkdirSync(path, { recursive: true })
    execFileSync('bindfs', [from, path])
    this.#mounted.push(path)
    return Number(execFileSync('pgrep', ['--full', `^bindfs ${from} ${path}$`], { encoding: 'utf8' }))
  }

  /** Unmounts also this one, which the caller mounts. */
  adopt(path: string): void {
    this.#mounted.push(path)
  }

  [Symbol.dispose](): void {
    for (const path of this.#mounted.splice(0).reverse()) spawnSync('umount', ['-l', path])
  }
}

/** On a file; takes it down. */
export function loopDevice(file: string): () => void {
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim()
  return () => void execFileSync('losetup', ['--detach', device])
}

/** Sparse. XFS makes none below 300 MiB. */
export function makeImage(path: string, type: FileSystem = 'ext4', mebibytes = type === 'xfs' ? 300 : 24): string {
  execFileSync('truncate', ['-s', `${mebibytes}M`, path])
  if (type === 'xfs') execFileSync('mkfs.xfs', ['-q', path])
  else execFileSync('mkfs.ext4', ['-q', '-m', '0', '-b', '4096', path])
  return path
}

/** Sparse, with one copy of everything. */
export function makeBtrfsImage(path: string): string {
  execFileSync('truncate', ['-s', '256M', path])
  execFileSync('mkfs.btrfs', ['-q', '-m', 'single', path])
  return path
}

export function btrfs(...args: readonly string[]): void {
  execFileSync('btrfs', args, { stdio: 'pipe' })
}

/** Small: the images are. */
export function writeSmall(directory: string, files = 3): void {
  mkdirSync(directory, { recursive: true })
  for (const name of ['memfile', 'memfile.header', 'rootfs.ext4']) writeFileSync(`${directory}/${name}`, 'x')
  writeFileSync(`${directory}/snapfile`, sampleSnapfile(4096))
  for (let file = 0; file < files; file++) writeFileSync(`${directory}/memfile.${file}`, 'x')
}
