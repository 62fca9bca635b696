// The disk of a light agent: names of snapshot directories, in memory where they are only counted, as directories where a test looks at them.
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** A Set of names is one. */
export interface LightDisk {
  has(name: string): boolean
  add(name: string): unknown
  delete(name: string): unknown
}

export class DirectoryDisk implements LightDisk {
  readonly path: string

  constructor(path: string) {
    this.path = path
    mkdirSync(path, { recursive: true })
  }

  has(name: string): boolean {
    return existsSync(join(this.path, name))
  }

  add(name: string): void {
    mkdirSync(join(this.path, name), { recursive: true })
  }

  delete(name: string): void {
    rmSync(join(this.path, name), { recursive: true, force: true })
  }

  get names(): readonly string[] {
    return readdirSync(this.path).sort()
  }
}
