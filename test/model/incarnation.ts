// One directory that the test wrote: from the moment that it got its name until it is gone, wherever it stands meanwhile.
import type { Identity } from '../../src/snapshot/report.ts'
import type { DirectoryName } from './universe.ts'

/**
 * `standing`: under its name. `pending`: in the trash, may still go back. `dead`: in the trash for good. `gone`: nowhere.
 * `taken`: moved or removed by an operation of the test.
 */
export type State = 'standing' | 'pending' | 'dead' | 'gone' | 'taken'

export interface Incarnation {
  /** such as `n1:home/alpha#3` */
  readonly label: string
  readonly name: DirectoryName
  readonly identity: Identity
  /** no snapshot: what people keep beside them */
  readonly isSnapshot: boolean
  readonly writtenAtMs: number
  state: State
  /** its files; undefined while it is being written in place, and after that was cut short */
  files: ReadonlySet<string> | undefined
  lastStandingAtMs: number
  /** of the directory when `files` was last held against it */
  modifiedAtNs: bigint
  /** whose trash it is or was in last */
  uid: string | undefined
}

export function isSameDirectory(a: Identity, b: Identity): boolean {
  return a.inode === b.inode && a.bornAt === b.bornAt
}
