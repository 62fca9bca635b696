// Who uses the files of a snapshot directory, as far as a node can tell without looking into processes: loop devices by their backing
// file, and running VMs by the copy-on-write file that the sandbox manager keeps for each in one directory.
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import type { BaseDirectory } from './base-directory.ts'
import { Directory, textOfName } from './descriptor.ts'
import { type FileID, tracePath } from './path-walk.ts'
import { errnoOf } from './problem.ts'

const blockDevices = '/sys/block'

export interface InUseTarget {
  readonly base: BaseDirectory
  /** where the directory is at present, as the kernel names it */
  readonly path: string
  /** what it is called below the base directory */
  readonly name: string
}

/**
 * The first loop device whose backing file is a file of the directory, in words. The kernel names backing files by their path on the host,
 * through any mount. Where this process can resolve that path, device and inode decide; else the end of the path.
 * Throws system errors but ENOENT: no answer is no permission.
 */
export function loopDeviceOn(target: InUseTarget, sysBlock: string = blockDevices): string | undefined {
  let files: TargetFiles | undefined
  for (const device of entriesOf(sysBlock)) {
    if (!device.startsWith('loop')) continue
    const attribute = `${sysBlock}/${device}/loop/backing_file`
    const file = backingFileOf(attribute)
    if (file === undefined) continue
    if (typeof file !== 'string') return `${device} may use it, since ${attribute} cannot be read (${file.errno})`
    files ??= new TargetFiles(target)
    if (files.include(file)) return `${device} has ${file} as its backing file`
  }
  return undefined
}

const deletedSuffix = ' (deleted)'
/** As deep as a search for snapshots in the directory. */
const maxDepth = 8

/** Files of the directory, listed when the first backing file asks for them. */
class TargetFiles {
  readonly #target: InUseTarget
  readonly #names: readonly string[]
  #listed: { readonly ids: Set<string>; readonly paths: Set<string> } | undefined

  constructor(target: InUseTarget) {
    this.#target = target
    const { base, path, name } = target
    this.#names = path.startsWith(`${base.path}/`) ? [name, path.slice(base.path.length + 1)] : [name]
  }

  include(backingFile: string): boolean {
    if (backingFile.startsWith(`${this.#target.path}/`)) return true
    const { arrival } = tracePath(this.#target.base, backingFile)
    const file = arrival.kind === 'file' ? arrival.stat : arrival.kind === 'outside' ? arrival.file : undefined
    if (file !== undefined) return this.#files.ids.has(idOf(file))
    return this.#endsAlike(backingFile) || this.#endsAlike(withoutSuffix(backingFile))
  }

  /** The end of the path is the name of the directory and a file that is in it. */
  #endsAlike(backingFile: string): boolean {
    const names = this.#names.filter((name) => backingFile.includes(`/${name}/`))
    return names.some((name) => [...this.#files.paths].some((file) => backingFile.endsWith(`/${name}/${file}`)))
  }

  get #files(): { readonly ids: Set<string>; readonly paths: Set<string> } {
    if (this.#listed === undefined) {
      this.#listed = { ids: new Set(), paths: new Set() }
      using directory = Directory.open(this.#target.path)
      this.#list(directory, '', 1)
    }
    return this.#listed
  }

  #list(here: Directory, path: string, depth: number): void {
    for (const entry of here.entries()) {
      if (entry.isDirectory() && depth < maxDepth) {
        using below = here.openDirectory(entry.name)
        this.#list(below, `${path}${textOfName(entry.name)}/`, depth + 1)
      } else if (entry.isFile()) {
        const stat = here.statOf(entry.name)
        if (stat !== undefined) this.#listed?.ids.add(idOf(stat))
        this.#listed?.paths.add(path + textOfName(entry.name))
      }
    }
  }
}

function idOf({ dev, ino }: FileID): string {
  return `${dev} ${ino}`
}

function withoutSuffix(path: string): string {
  return path.endsWith(deletedSuffix) ? path.slice(0, -deletedSuffix.length) : path
}

/**
 * The copy-on-write file of a VM that runs from the snapshot `name`: `<last segment>.cow` in `runningDir`, in words.
 * Throws system errors, also where `runningDir` itself is not there: it may be another disk that is not mounted yet.
 */
export function runningVMOf(name: string, runningDir: string): string | undefined {
  lstatSync(runningDir)
  const path = `${runningDir}/${name.slice(name.lastIndexOf('/') + 1)}.cow`
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? undefined : `a VM runs on ${path}`
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

/** undefined: the device is not set up, or was taken down meanwhile. An unlinked file is named with " (deleted)" behind it. */
function backingFileOf(attribute: string): string | { readonly errno: string } | undefined {
  try {
    return readFileSync(attribute, 'utf8').replace(/\n$/, '')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    return errno === 'ENOENT' || errno === 'ENXIO' || errno === 'ENODEV' ? undefined : { errno }
  }
}
