// The base directory of a node and the file systems that can stand there: its own disk, another one, and the plain directory below both.
// Where nothing can be mounted the plain directory is the node's disk, and operations that need another are left out.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasLoop, Mounts, makeImage } from '../support/mounts.ts'
import { Disk, type Seen } from './disk.ts'
import { Violation } from './violation.ts'

const imageMebibytes = 96
const filler = '.filler'

/** Below the base directory, on the same device; hidden, so that no snapshot has the name. */
const precious = '.precious'

export type DiskName = 'home' | 'other'

export type Garbage = 'a directory as .name' | 'a file' | 'a FIFO' | 'a directory as .reserve'

export class Bay {
  readonly baseDir: string
  readonly home: Disk
  readonly #root: string
  readonly #bare: Disk
  readonly #other: Disk
  readonly #mounts = new Mounts()
  #current: Disk
  #isReadOnly = false
  #hasPrecious = false

  /** Empty, the node's own disk at the base directory. */
  constructor(label: string, root: string, now: () => number) {
    this.#root = root
    this.baseDir = join(root, 'snapshots')
    this.#bare = new Disk(hasLoop ? `${label}:bare` : label, now)
    this.home = hasLoop ? new Disk(label, now) : this.#bare
    this.#other = new Disk(`${label}:other`, now)
    this.#current = this.#bare
    mkdirSync(this.baseDir, { recursive: true })
    if (!hasLoop) return
    for (const name of ['home', 'other']) makeImage(this.#imageOf(name), 'ext4', imageMebibytes)
    this.mount('home')
  }

  get current(): Disk {
    return this.#current
  }

  get isMounted(): boolean {
    return this.#current !== this.#bare
  }

  get isReadOnly(): boolean {
    return this.#isReadOnly
  }

  get canMount(): boolean {
    return hasLoop
  }

  mount(name: DiskName): void {
    this.#mounts.image(this.baseDir, this.#imageOf(name))
    this.#current = name === 'home' ? this.home : this.#other
  }

  /** As a person would: the lock of an agent keeps the file system busy, so that it goes from sight first. */
  unmount(): void {
    if (spawnSync('umount', [this.baseDir]).status !== 0) execFileSync('umount', ['--lazy', this.baseDir])
    this.#current = this.#bare
  }

  /** Throws where somebody has a file open to write it. */
  makeReadOnly(): void {
    this.#mounts.remount(this.baseDir, 'ro')
    this.#isReadOnly = true
  }

  makeWritable(): void {
    this.#mounts.remount(this.baseDir, 'rw')
    this.#isReadOnly = false
  }

  /** Takes all but `leftBytes` of the free space. */
  fill(leftBytes: number): void {
    const { bavail, bsize } = statfsSync(this.baseDir)
    const bytes = Math.max(4_096, bavail * bsize - leftBytes)
    spawnSync('fallocate', ['--length', String(bytes), join(this.baseDir, filler)])
  }

  /** Also where nothing was filled. */
  clear(): void {
    rmSync(join(this.baseDir, filler), { force: true })
  }

  /** Mounts a directory with one file at `<directory>/mnt`. False where the directory is not there any more. */
  bindBelow(directory: string): boolean {
    const from = join(this.baseDir, precious)
    const at = join(this.baseDir, directory, 'mnt')
    mkdirSync(from, { recursive: true })
    writeFileSync(join(from, 'keep'), 'keep')
    // Not recursive: an agent may have moved the directory away meanwhile.
    if (spawnSync('mkdir', [at]).status !== 0 || spawnSync('mount', ['--bind', from, at]).status !== 0) {
      rmSync(from, { recursive: true, force: true })
      return false
    }
    this.#hasPrecious = true
    return true
  }

  /** Wherever below the base directory an agent has moved it. */
  unbind(): void {
    for (const point of this.#mountPointsBelow()) spawnSync('umount', [point])
    this.#assertPrecious()
    this.#hasPrecious = false
    rmSync(join(this.baseDir, precious), { recursive: true, force: true })
  }

  #mountPointsBelow(): readonly string[] {
    const points = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
    return points.filter((point) => point.startsWith(`${this.baseDir}/`)).reverse()
  }

  #assertPrecious(): void {
    if (!this.#hasPrecious || existsSync(join(this.baseDir, precious, 'keep'))) return
    throw new Violation(`I6: a file of a bind mount below ${this.baseDir} was removed`)
  }

  /** The directory itself, or one of its files. False where there is none. */
  makeImmutable(directory: string, what: 'file' | 'directory'): boolean {
    const path = join(this.baseDir, directory)
    const target = what === 'directory' ? path : join(path, 'memfile.header')
    return spawnSync('chattr', ['+i', target]).status === 0
  }

  /** Wherever below the base directory an agent has moved it. */
  makeMutable(): void {
    spawnSync('chattr', ['-R', '-f', '-i', this.baseDir])
  }

  get #trash(): string {
    return join(this.baseDir, '.vmsnapshot', 'trash')
  }

  get hasTrash(): boolean {
    return existsSync(this.#trash)
  }

  /** Takes the garbage away again; undefined where it could not be made. */
  litter(garbage: Garbage, uid: string): (() => void) | undefined {
    const path = join(this.#trash, nameOf(garbage, uid))
    if (garbage === 'a directory as .reserve') rmSync(path, { recursive: true, force: true })
    const command = garbage === 'a FIFO' ? 'mkfifo' : garbage === 'a file' ? 'touch' : 'mkdir'
    if (spawnSync(command, [path]).status !== 0) return undefined
    return () => rmSync(path, { recursive: true, force: true })
  }

  observe(seen: Seen): void {
    this.#assertPrecious()
    this.#current.observe(this.baseDir, seen)
  }

  #imageOf(name: string): string {
    return join(this.#root, `${name}.img`)
  }

  [Symbol.dispose](): void {
    this.#mounts[Symbol.dispose]()
  }
}

function nameOf(garbage: Garbage, uid: string): string {
  switch (garbage) {
    case 'a directory as .name':
      return `${uid}.name`
    case 'a directory as .reserve':
      return '.reserve'
    default:
      return `garbage-${uid}`
  }
}
