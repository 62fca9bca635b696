// Writes generated files below the repository where they differ; with `--check` on the command line only names those, and the process fails.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** `command`: what writes them, for people. */
export function writeGenerated(files: Iterable<readonly [path: string, content: string]>, command: string): void {
  const differing = [...files].filter(([path, content]) => current(path) !== content)
  if (process.argv.includes('--check')) {
    for (const [path] of differing) console.error(`${path} is not what its sources say: run ${command}`)
    if (differing.length > 0) process.exitCode = 1
    return
  }
  for (const [path, content] of differing) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
    console.log(`wrote ${path}`)
  }
}

function current(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return undefined
  }
}
