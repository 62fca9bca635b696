// What a sandbox manager does to a directory when it pauses, resumes and pauses a VM again, or makes a template of one: in place, in this order, with
// no mark at the beginning and none at the end. Each generator yields between two steps; whoever drives it sets the pace.
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { buildIDOf, writeSnapshot } from './sample-snapshots.ts'

const guestBytes = 64 * 1024 * 1024
const chunk = Buffer.alloc(256 * 1024, 0xa5)

export class SandboxWrites {
  readonly #directory: string
  readonly #workshop: string
  readonly #baseTemplate: string

  /** `workshop`: where the files come from, on the same file system and below no base directory */
  constructor(directory: string, workshop: string, baseTemplate: string) {
    this.#directory = directory
    this.#workshop = workshop
    this.#baseTemplate = baseTemplate
  }

  *pause(): Generator<string> {
    const made = this.#make(0)
    mkdirSync(this.#directory)
    yield 'the directory'
    copyFileSync(join(made, 'snapfile'), this.#at('snapfile'))
    yield 'snapfile'
    this.#saveRaw()
    yield 'memfile.raw, at its full length from the first byte'
    yield* this.#grow('memfile', readFileSync(join(made, memoryOf(0))))
    copyFileSync(join(made, 'memfile.header'), this.#at('memfile.header'))
    yield 'memfile.header'
    rmSync(this.#at('memfile.raw'))
    yield 'no memfile.raw'
    renameSync(join(made, 'rootfs.cow'), this.#at('rootfs.cow'))
    yield 'rootfs.cow'
    writeFileSync(this.#at('rootfs.meta'), readFileSync(join(made, 'rootfs.meta')))
  }

  /** The running VM takes its disk along; everything else stays. */
  resume(): void {
    renameSync(this.#at('rootfs.cow'), join(this.#workshop, 'running.cow'))
  }

  *pauseAgain(): Generator<string> {
    const made = this.#make(1)
    truncateSync(this.#at('snapfile'))
    yield 'an empty snapfile'
    yield* this.#grow('snapfile', readFileSync(join(made, 'snapfile')))
    this.#saveRaw()
    yield 'memfile.raw'
    yield* this.#grow(memoryOf(1), readFileSync(join(made, memoryOf(1))))
    writeFileSync(this.#at('memfile.header'), readFileSync(join(made, 'memfile.header')))
    yield 'a header that names a file that is not there yet'
    copyFileSync(this.#at('memfile'), this.#at(memoryOf(0)))
    yield 'that file'
    rmSync(this.#at('memfile.raw'))
    yield 'no memfile.raw'
    renameSync(join(this.#workshop, 'running.cow'), this.#at('rootfs.cow'))
    writeFileSync(this.#at('rootfs.meta'), readFileSync(join(made, 'rootfs.meta')))
  }

  /** Of a paused VM. The image has all required files beside it from its first byte on. `isLongEnough`: of the image's growth */
  *template(from: string, isLongEnough: () => boolean): Generator<string> {
    mkdirSync(this.#directory)
    yield 'the directory'
    for (const file of ['snapfile', 'memfile.header', 'memfile', memoryOf(0), memoryOf(1)]) {
      cpSync(join(from, file), this.#at(file))
      yield file
    }
    writeFileSync(this.#at('rootfs.ext4'), '')
    while (!isLongEnough()) {
      appendFileSync(this.#at('rootfs.ext4'), chunk)
      yield 'more of rootfs.ext4'
    }
    truncateSync(this.#at('rootfs.ext4'), chunk.length)
    yield 'rootfs.ext4, shrunk'
    truncateSync(this.#at('rootfs.ext4'), 4 * guestBytes)
  }

  #at(file: string): string {
    return join(this.#directory, file)
  }

  #make(generations: number): string {
    return writeSnapshot(this.#workshop, 'made', { generations, baseTemplate: this.#baseTemplate })
  }

  #saveRaw(): void {
    writeFileSync(this.#at('memfile.raw'), '')
    truncateSync(this.#at('memfile.raw'), guestBytes)
  }

  *#grow(file: string, bytes: Buffer): Generator<string> {
    const middle = bytes.length / 2
    writeFileSync(this.#at(file), bytes.subarray(0, middle))
    yield `half of ${file}`
    appendFileSync(this.#at(file), bytes.subarray(middle))
    yield `all of ${file}`
  }
}

function memoryOf(generation: number): string {
  return `memfile.${buildIDOf('made', generation)}`
}
