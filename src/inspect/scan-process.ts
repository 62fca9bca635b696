// One of the processes that scan a base directory together: gets names, answers with what it found below them, ends with the one that asks.
import type { Batch } from './discover.ts'
import { openBase, type ScanTask, scanBatch } from './scan.ts'

const task = JSON.parse(process.argv[2] ?? '') as ScanTask
const base = openBase(task.baseDir)
process.on('message', (batch) => process.send?.(scanBatch(base, batch as Batch, task, true)))
