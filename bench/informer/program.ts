// What a program with an informer tells bench/informer.ts, one line of JSON each: how long the first list took, then, for each line that it reads,
// what it holds and how much of the heap that takes.
import { createInterface } from 'node:readline'

/** `sync` resolves once everything has been listed, to a count of what is held. Runs until standard input ends. */
export async function serve(sync: () => Promise<() => number>): Promise<never> {
  const before = heapBytes()
  const startedAt = performance.now()
  const objects = await sync()
  tell({ syncMs: performance.now() - startedAt })
  for await (const _ of createInterface({ input: process.stdin })) {
    tell({ objects: objects(), heapBytes: heapBytes() - before })
  }
  process.exit(0)
}

function tell(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}

/** Of what is reachable. */
function heapBytes(): number {
  if (globalThis.gc === undefined) throw new Error('to be run with --expose-gc')
  globalThis.gc()
  globalThis.gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
