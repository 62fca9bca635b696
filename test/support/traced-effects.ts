// Writes down what happens to directories in this process, syncs among it, in the order it happens. What Node's modules export is replaced until disposed.
import fs, { readlinkSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

export interface Effect {
  readonly verb: string
  /** of a rename, where it goes */
  readonly path: string
}

const { writeSync, renameSync, unlinkSync, rmdirSync, fsync } = fs
const real = { writeSync, renameSync, unlinkSync, rmdirSync }

function nameOf(path: unknown): string {
  const [, fd, rest = ''] = /^\/proc\/self\/fd\/(\d+)(.*)$/s.exec(String(path)) ?? []
  return fd === undefined ? String(path) : readlinkSync(`/proc/self/fd/${fd}`) + rest
}

export class TracedEffects {
  readonly effects: Effect[] = []

  constructor() {
    const traced =
      <Arguments extends readonly unknown[], Result>(
        verb: string,
        run: (...args: Arguments) => Result,
        pathOf: (...args: Arguments) => unknown,
      ) =>
      (...args: Arguments): Result => {
        const path = nameOf(pathOf(...args))
        const result = run(...args)
        this.effects.push({ verb, path })
        return result
      }
    Object.assign(fs, {
      writeSync: traced('write', writeSync as (fd: number, data: string) => number, (fd) => `/proc/self/fd/${fd}`),
      renameSync: traced('rename', renameSync, (_, to) => to),
      unlinkSync: traced('unlink', unlinkSync, (path) => path),
      rmdirSync: traced('rmdir', rmdirSync, (path) => path),
    })
    syncBuiltinESMExports()
  }

  /** A Flush for a Syncer. `fails`: of a path, once it is done. */
  flush(fails: (path: string) => boolean = () => false) {
    return (fd: number, onDone: (error: Error | null) => void): void => {
      const path = nameOf(`/proc/self/fd/${fd}`)
      const at = this.effects.push({ verb: 'sync', path }) - 1
      fsync(fd, (error) => {
        const isFailure = error !== null || fails(path)
        this.effects.push({ verb: isFailure ? 'sync failed' : `synced since ${at}`, path })
        onDone(isFailure ? Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }) : null)
      })
    }
  }

  /** Index of the last of these, -1: there is none. */
  last(verb: string, path: string): number {
    return this.effects.findLastIndex((effect) => effect.verb === verb && effect.path === path)
  }

  /** Has a sync of this path begun after one effect and ended before another? */
  isSynced(path: string, after: number, before: number): boolean {
    return this.effects.slice(0, before).some((effect) => {
      const [, since] = /^synced since (\d+)$/.exec(effect.verb) ?? []
      return effect.path === path && since !== undefined && Number(since) > after
    })
  }

  [Symbol.dispose](): void {
    Object.assign(fs, real)
    syncBuiltinESMExports()
  }
}
