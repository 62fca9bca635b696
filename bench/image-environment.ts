// The environment that the image sets: programs of ours are measured as they are released.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const dockerfile = join(import.meta.dirname, '..', 'Dockerfile')

export function imageEnvironment(): Readonly<Record<string, string>> {
  const settings = /^ENV (.+)$/m.exec(readFileSync(dockerfile, 'utf8'))?.[1]
  if (settings === undefined) throw new Error(`${dockerfile} sets no environment`)
  const pairs = settings.split(' ').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])
  return Object.fromEntries(pairs)
}
