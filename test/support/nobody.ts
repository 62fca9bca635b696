// Somebody who is refused where root is not: tests of what cannot be read, also when root runs them.
export const isRoot = process.geteuid?.() === 0
/** For a child process; nothing where this one is nobody's already. */
export const nobody = isRoot ? { uid: 65_534, gid: 65_534 } : {}

/** The rights of this process, all its threads, for as long as `ask` takes. */
export function asNobody<T>(ask: () => T): T {
  if (isRoot) process.seteuid?.(65_534)
  try {
    return ask()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}
