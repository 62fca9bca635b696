// One of the processes that scan a base directory together: gets names, answers with what it found below them, ends with the one that asks.
import type { Batch } from './discover.ts'
import { openBase, type ScanTask, scanBatch } from './scan.ts'

const task = JSON.parse(process.argv[2] ?? '') as ScanTask
const base = openBase(task.baseDir)
/** Answers leave in the order of the questions. */
let last: Promise<unknown> = Promise.resolve()
process.on('message', (batch) => {
  const shares = scanBatch(base, batch as Batch, task, true)
  last = Promise.all([shares, last]).then(([answer]) => process.send?.(answer))
})
