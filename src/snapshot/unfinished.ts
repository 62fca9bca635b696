// A file of the operator's own directory gets its name only once it is whole: until then it is called `<name>.<uuid>`.
// Whatever ends between the two leaves that, and whoever comes next clears it away.
import { v4 as freshUUID, validate } from 'uuid'
import { type Directory, textOfName } from './descriptor.ts'
import { errnoOf } from './problem.ts'

export function unfinishedName(name: string): string {
  return `${name}.${freshUUID()}`
}

/** False where the name is taken, or somebody who was quicker has cleared this one away. Throws system errors. */
export function finish(own: Directory, unfinished: string, name: string): boolean {
  try {
    own.link(unfinished, name)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' || errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/** This one, and those of processes that ended meanwhile. What cannot be unlinked stays and blocks nothing. */
export function clearUnfinished(own: Directory, name: string): void {
  for (const entry of own.entries()) {
    if (entry.isDirectory() || !isUnfinished(textOfName(entry.name), name)) continue
    try {
      own.unlink(entry.name)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
    }
  }
}

/** Only what this program names so: a copy that a person made of a file is theirs. */
export function isUnfinished(entry: string, name: string): boolean {
  return entry.startsWith(`${name}.`) && validate(entry.slice(name.length + 1))
}
