// The environment that programs of ours have as they are released: what the image sets, and what a Pod's memory limit does to Node.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '..')
const dockerfile = join(root, 'Dockerfile')
const chartValues = join(root, 'deploy', 'chart', 'values.yaml')

export function imageEnvironment(): Readonly<Record<string, string>> {
  const settings = /^ENV (.+)$/m.exec(readFileSync(dockerfile, 'utf8'))?.[1]
  if (settings === undefined) throw new Error(`${dockerfile} sets no environment`)
  const pairs = settings.split(' ').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)])
  return Object.fromEntries(pairs)
}

/** In a Pod Node takes half of its memory limit for the old generation; without a limit it would take a share of the machine's. */
export function podEnvironment(workload: 'agent' | 'controller'): Readonly<Record<string, string>> {
  const { limits } = parse(readFileSync(chartValues, 'utf8'))[workload].resources as { limits: { memory: string } }
  const image = imageEnvironment()
  return {
    ...image,
    NODE_OPTIONS: `${image.NODE_OPTIONS} --max-old-space-size=${Number.parseInt(limits.memory, 10) / 2}`,
  }
}
