// Which call of the disk may begin. One at a time, or a few looks in a row; others while one waits for its sync. Pure.
import type { RemovalTarget } from './disk.ts'
import type { Operations } from './operations.ts'

export interface Scheduled {
  readonly method: keyof Operations
  /** the tree of directories that no other call is in before this one has ended; undefined: it only reads, wherever it is */
  readonly tree: string | undefined
}

/** So many looks are handed over at once: waking the other thread, and being woken, costs more than a look. */
const maxLooks = 8
/** They find the whole trash and the lock at rest: no removal waits for a sync meanwhile. */
const alone: ReadonlySet<string> = new Set<keyof Operations>([
  'storage',
  'lock',
  'mark',
  'replaceMarker',
  'unstage',
  'recover',
])

/** Two names can only lie in one another when their first segments agree. */
export function treeOf(method: keyof Operations, [first]: readonly unknown[]): string | undefined {
  if (method === 'inventory' || alone.has(method)) return undefined
  return String((first as Partial<RemovalTarget>).name ?? first).split('/', 1)[0]
}

/** Nothing begins before it has ended, also while it waits. */
export function isAlone({ method }: Scheduled): boolean {
  return alone.has(method)
}

function isLook({ method }: Scheduled): boolean {
  return method === 'inspect'
}

/**
 * Index in `queue` of the call that may begin now, -1: none. `begun`: the worker has them, those `atWork`, what it does and does next, among them.
 * None overtakes one of its own tree, or one that is to be alone.
 */
export function indexOfNext(
  queue: readonly Scheduled[],
  begun: readonly Scheduled[],
  atWork: readonly Scheduled[],
): number {
  if (atWork.length >= (atWork.every(isLook) ? maxLooks : 1)) return -1
  const index = indexOfFirst(queue, begun)
  const call = queue[index]
  // So that looks without an end keep nothing else waiting.
  return call === undefined || (atWork.length > 0 && !isLook(call)) ? -1 : index
}

/** Looks change nothing, and are in nobody's way but that of what comes after them. */
function indexOfFirst(queue: readonly Scheduled[], begun: readonly Scheduled[]): number {
  const trees = new Set(begun.filter((call) => !isLook(call)).map(({ tree }) => tree))
  for (const [index, call] of queue.entries()) {
    const mayBegin = isAlone(call) ? index + begun.length === 0 : call.tree === undefined || !trees.has(call.tree)
    if (mayBegin) return index
    if (isAlone(call)) return -1
    trees.add(call.tree)
  }
  return -1
}
