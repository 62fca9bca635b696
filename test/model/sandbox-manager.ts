// Everything that others do to directories: the sandbox manager that writes them, people who damage, move and remove them by hand.
// Each tells the journal of the disk; whatever an agent moves away meanwhile simply is not there.
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import type { Bay } from './bay.ts'
import { identityOf, statOf } from './disk.ts'
import { type DirectoryName, directories, isBelow } from './universe.ts'

export interface SnapshotShape {
  readonly generations: number
  /** over the image that images/minimal has */
  readonly isCow: boolean
  /** so many small files more, so that a removal takes its time */
  readonly extraFiles: number
}

export type Damage = 'shortHeader' | 'noSnapfile' | 'brokenSnapfile'

/** Hidden: no name of a snapshot begins with a dot. */
const workshop = '.workshop'
let made = 0

export class SandboxManager {
  readonly #bay: Bay

  constructor(bay: Bay) {
    this.#bay = bay
  }

  get #root(): string {
    return this.#bay.baseDir
  }

  /** Whether a file has the name, or a directory with files in it. */
  isTaken(name: DirectoryName): boolean {
    const stat = statOf(join(this.#root, name))
    if (stat === undefined) return false
    return (
      !stat.isDirectory() ||
      readdirSync(join(this.#root, name), { withFileTypes: true }).some((entry) => !entry.isDirectory())
    )
  }

  isDirectory(name: DirectoryName): boolean {
    return statOf(join(this.#root, name))?.isDirectory() ?? false
  }

  isThere(name: DirectoryName): boolean {
    return statOf(join(this.#root, name)) !== undefined
  }

  /** Whole from the moment it has its name. */
  write(name: DirectoryName, shape: SnapshotShape): string {
    return this.#inWorkshop((workplace) => {
      const directory = this.#make(workplace, shape)
      const files = new Set(readdirSync(directory))
      mkdirSync(dirname(join(this.#root, name)), { recursive: true })
      renameSync(directory, join(this.#root, name))
      return this.#bay.current.add(this.#root, name, files, true).label
    })
  }

  /** As the sandbox manager does: the directory first, and file by file in it. */
  async writeInPlace(name: DirectoryName, shape: SnapshotShape, pauseMs: number): Promise<string> {
    const { current } = this.#bay
    const workplace = join(this.#root, workshop, String(made++))
    const directory = this.#make(workplace, shape)
    const target = join(this.#root, name)
    try {
      mkdirSync(target, { recursive: true })
      const incarnation = current.add(this.#root, name, undefined, true)
      const files = readdirSync(directory).sort()
      for (const file of files) {
        renameSync(join(directory, file), join(target, file))
        await sleep(pauseMs)
        if (this.#bay.current !== current) return `${incarnation.label} not to its end`
      }
      const isWhole =
        incarnation.state === 'standing' && files.every((file) => statOf(join(target, file)) !== undefined)
      if (isWhole) incarnation.files = new Set(files)
      return incarnation.label
    } finally {
      if (this.#bay.current === current) rmSync(workplace, { recursive: true, force: true })
    }
  }

  /** What no program of ours knows: a directory with a file in it, or a file. */
  writeOther(name: DirectoryName, type: 'directory' | 'file'): string {
    const path = join(this.#root, name)
    mkdirSync(dirname(path), { recursive: true })
    if (type === 'file') {
      writeFileSync(path, 'nobody knows', { flag: 'wx' })
      return `a file at ${name}`
    }
    return this.#inWorkshop((workplace) => {
      mkdirSync(workplace, { recursive: true })
      writeFileSync(join(workplace, 'notes.txt'), 'nobody knows')
      renameSync(workplace, path)
      return this.#bay.current.add(this.#root, name, new Set(['notes.txt']), false).label
    })
  }

  damage(name: DirectoryName, damage: Damage): string {
    const fd = openSync(join(this.#root, name), constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      // By descriptor: what stands under the name may be another one by now.
      const path = `/proc/self/fd/${fd}`
      const incarnation = this.#bay.current.find(identityOf(fstatSync(fd, { bigint: true })))
      switch (damage) {
        case 'shortHeader':
          writeFileSync(join(path, 'memfile.header'), 'short', { flag: 'r+' })
          break
        case 'brokenSnapfile':
          writeFileSync(join(path, 'snapfile'), Buffer.alloc(64, 1), { flag: 'r+' })
          break
        case 'noSnapfile':
          if (incarnation?.files !== undefined) {
            incarnation.files = new Set([...incarnation.files].filter((file) => file !== 'snapfile'))
          }
          rmSync(join(path, 'snapfile'), { force: true })
      }
      return incarnation?.label ?? 'what nobody knows'
    } finally {
      closeSync(fd)
    }
  }

  /** Takes whatever has the name, and what lies in it, out of the way and removes it. */
  remove(name: DirectoryName): string {
    return this.#inWorkshop((workplace) => {
      mkdirSync(dirname(workplace), { recursive: true })
      renameSync(join(this.#root, name), workplace)
      const taken = this.#take(workplace)
      for (const below of directories) {
        if (isBelow(below, name)) taken.push(...this.#take(join(workplace, below.slice(name.length + 1))))
      }
      return taken.join(', ')
    })
  }

  /** What is left of writers that were cut short. */
  clear(): void {
    rmSync(join(this.#root, workshop), { recursive: true, force: true })
  }

  #take(path: string): string[] {
    const stat = statOf(path)
    const incarnation = stat === undefined ? undefined : this.#bay.current.find(identityOf(stat))
    if (incarnation === undefined) return []
    incarnation.state = 'taken'
    return [incarnation.label]
  }

  /** Leaves nothing in the workshop, also where the disk is full. */
  #inWorkshop(run: (workplace: string) => string): string {
    const workplace = join(this.#root, workshop, String(made++))
    try {
      return run(workplace)
    } finally {
      rmSync(workplace, { recursive: true, force: true })
    }
  }

  #make(workplace: string, { generations, isCow, extraFiles }: SnapshotShape): string {
    const baseTemplate = join(this.#root, 'images', 'minimal', 'rootfs.ext4')
    const directory = writeSnapshot(workplace, 'snapshot', { generations, ...(isCow ? { baseTemplate } : {}) })
    for (let file = 0; file < extraFiles; file++) writeFileSync(join(directory, `page-${file}`), 'x')
    return directory
  }
}
