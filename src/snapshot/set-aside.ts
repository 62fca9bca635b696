// Makes room for an entry of the operator's own directory where something of another type has its name. Nothing is removed: what is in the
// way keeps its content, under a name that is reported.
import { v4 as freshUUID } from 'uuid'
import { absentAs, type Directory } from './descriptor.ts'

const infix = '.set-aside-'

/** The caller holds the lock, or is about to take it. */
export function setAside(own: Directory, name: string): void {
  absentAs(undefined, () => own.rename(name, own, `${name}${infix}${freshUUID()}`))
}
