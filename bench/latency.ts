// How long a change on disk takes to be in status: from the rename of a file to the watch event of the status that tells of it.
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { type BenchNode, verdictOf } from './node.ts'
import type { Watched } from './watched.ts'

/** Of one file of one snapshot, in milliseconds. The file is back afterwards, which nobody may have noticed yet. */
export async function latencyOf(watched: Watched, node: BenchNode, name: string): Promise<number> {
  const file = join(node.baseDir, name, 'snapfile')
  const changedAt = performance.now()
  renameSync(file, `${file}.away`)
  await watched.each([`${node.name}/${name}`], (object) => verdictOf(object, 'Exists') === 'False')
  const tookMs = performance.now() - changedAt
  renameSync(`${file}.away`, file)
  return tookMs
}
