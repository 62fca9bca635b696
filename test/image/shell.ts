// Runs a program to its end. What it prints is its answer; what went wrong is in the error.
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'

export interface ShellOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Standard output without the line feed at its end. Throws Error with the end of what it printed when it does not end with 0. */
export async function run(command: string, args: readonly string[], options: ShellOptions = {}): Promise<string> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject)
  child.once('close', resolve)
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), promise])
  if (code === 0) return stdout.trimEnd()
  const tail = `${stdout}${stderr}`.trimEnd().split('\n').slice(-20).join('\n')
  throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${tail}`)
}
