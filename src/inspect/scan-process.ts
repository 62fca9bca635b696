// One of the processes that scan a base directory together: gets names, answers with what it found below them, ends with the one that asks.
import { openBase, type ScanTask, scanShare } from './scan.ts'

const task = JSON.parse(process.argv[2] ?? '') as ScanTask
const base = openBase(task.baseDir)
process.on('message', (names) => process.send?.(scanShare(base, names as readonly string[], task, true)))
