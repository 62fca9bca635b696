// Runs Helm, version 4 unless told. Nothing of the user's own Helm is read or written.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { helmBinaries } from './binaries.ts'

export interface HelmOptions {
  readonly version?: 'helm3' | 'helm4'
  readonly kubeconfig?: string
}

/** Standard output. Throws Error with its standard error when it does not end with 0. */
export async function helm(args: readonly string[], options: HelmOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await tryHelm(args, options)
  if (code !== 0) throw new Error(`helm ${args.join(' ')} ended with ${code}: ${stderr.trim()}`)
  return stdout
}

export async function tryHelm(
  args: readonly string[],
  { version = 'helm4', kubeconfig = '/dev/null' }: HelmOptions = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const program = join(await helmBinaries(), version)
  const home = mkdtempSync(join(tmpdir(), 'vmsnapshot-helm-'))
  try {
    const child = spawn(program, args, {
      env: { PATH: process.env.PATH, HOME: home, KUBECONFIG: kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { promise, resolve, reject } = Promise.withResolvers<number | null>()
    child.once('error', reject)
    child.once('close', resolve)
    const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), promise])
    return { code, stdout, stderr }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}
