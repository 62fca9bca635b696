// A file system whose server has another clock than this machine: a FUSE server that shifts all times. Debian: python3-fusepy.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Mounts } from './mounts.ts'
import { until } from './until.ts'

const python = '/usr/bin/python3'
const server = fileURLToPath(new URL('./served-with-another-clock.py', import.meta.url))

export const canServe =
  process.getuid?.() === 0 &&
  existsSync('/dev/fuse') &&
  spawnSync(python, ['-c', 'try: import fusepy\nexcept ImportError: import fuse']).status === 0
if (!canServe)
  console.warn('SKIPPED: tests with the clock of a file server, which need root, /dev/fuse and python3-fusepy')

/** Shows `from` at `path`. */
export async function servedWithAnotherClock(
  mounts: Mounts,
  from: string,
  path: string,
  seconds: number,
): Promise<void> {
  mkdirSync(path, { recursive: true })
  spawn(python, [server, from, path, String(seconds)], { stdio: 'inherit' })
  mounts.adopt(path)
  await until(
    'it is mounted',
    () => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `),
    (isMounted) => isMounted,
  )
}
