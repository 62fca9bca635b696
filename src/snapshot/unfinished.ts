// A file of the operator's own directory gets its name only once it is whole: until then it is called `<name>.<uuid>`.
// Whatever ends between the two leaves that, and whoever comes next clears it away.
import { v4 as freshUUID } from 'uuid'
import { absentAs, type Directory, textOfName } from './descriptor.ts'
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

/** This one, and those of processes that ended meanwhile. */
export function clearUnfinished(own: Directory, name: string): void {
  for (const entry of own.entries()) {
    if (textOfName(entry.name).startsWith(`${name}.`)) absentAs(undefined, () => own.unlink(entry.name))
  }
}
