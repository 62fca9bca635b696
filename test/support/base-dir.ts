// A temporary base directory for tests of the disk room, marked, and everything that is done to it.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BaseDirectory, storageOf } from '../../src/snapshot/base-directory.ts'
import { Directory } from '../../src/snapshot/descriptor.ts'
import type { RemovalTarget } from '../../src/snapshot/disk.ts'
import { identityIn } from '../../src/snapshot/identity.ts'
import { type HeldLock, LockNotHeldError } from '../../src/snapshot/lock.ts'

export class TestBaseDir {
  readonly root: string
  readonly path: string
  readonly storageID: string

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'vmsnapshot-disk-'))
    this.path = join(this.root, 'snapshots')
    mkdirSync(this.path)
    using base = this.open()
    base.mark()
    const storage = storageOf(base)
    if (storage.kind !== 'ready') throw new Error(`not marked: ${JSON.stringify(storage)}`)
    this.storageID = storage.storageID
  }

  /** `isHeld`: whether the lock is still there, at the moment. */
  open(isHeld = () => true): BaseDirectory {
    const lock: HeldLock = {
      assertHeld: () => {
        if (!isHeld()) throw new LockNotHeldError('the lock is lost')
      },
    }
    const base = BaseDirectory.open(this.path, lock)
    if (!(base instanceof BaseDirectory)) throw new Error(base.problem.message)
    return base
  }

  at(...names: readonly string[]): string {
    return join(this.path, ...names)
  }

  /** What a first barrier would have recorded for it. */
  target(name: string, uid = `uid-of-${name.replaceAll('/', '-')}`): RemovalTarget {
    using directory = Directory.open(this.at(name))
    return { uid, name, storageID: this.storageID, identity: identityIn(directory) }
  }

  /** Empty also before the first removal has made the directory. */
  get trash(): readonly string[] {
    const path = this.at('.vmsnapshot', 'trash')
    const names = existsSync(path) ? readdirSync(path) : []
    return names.filter((name) => name !== '.reserve').sort()
  }

  get marker(): string {
    return readFileSync(this.at('.vmsnapshot', 'storage-id'), 'utf8')
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}
