// The base directory of a node and the file systems that can stand there: its own disk, another one, and the plain directory below both.
// Where nothing can be mounted the plain directory is the node's disk, and operations that need another are left out.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { hasLoop, Mounts, makeImage } from '../support/mounts.ts'
import { Disk, type Seen } from './disk.ts'

const imageMebibytes = 96
const filler = '.filler'

export type DiskName = 'home' | 'other'

export class Bay {
  readonly baseDir: string
  readonly home: Disk
  readonly #root: string
  readonly #bare: Disk
  readonly #other: Disk
  readonly #mounts = new Mounts()
  #current: Disk
  #isReadOnly = false

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

  observe(seen: Seen): void {
    this.#current.observe(this.baseDir, seen)
  }

  #imageOf(name: string): string {
    return join(this.#root, `${name}.img`)
  }

  [Symbol.dispose](): void {
    this.#mounts[Symbol.dispose]()
  }
}
