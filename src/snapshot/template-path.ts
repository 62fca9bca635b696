// What base_template of a rootfs.meta names. A path on the host: it may lead through symbolic links, and through some that this process,
// which sees the base directory and little else, cannot see.
import type { BaseDirectory } from './base-directory.ts'
import { parseName, ROOTFS_FILE } from './layout.ts'
import { type Arrival, lexicalSegments, type PathTrace, tracePath } from './path-walk.ts'
import type { Problem } from './report.ts'

export type TemplateResolution =
  | {
      readonly kind: 'file'
      readonly where: 'inside'
      /** the real one */
      readonly path: string
      readonly dev: bigint
      readonly ino: bigint
      readonly sizeBytes: number
      readonly mtimeMs: number
      readonly mtimeNs: bigint
      readonly ctimeNs: bigint
    }
  | { readonly kind: 'missing' }
  /** this process does not see where it leads */
  | { readonly kind: 'outside' }
  | { readonly kind: 'unresolved'; readonly problem: Problem }

/** Never throws for a state of the disk. A few system calls: one or two for each segment below the base directory. */
export function resolveTemplate(base: BaseDirectory, text: string): TemplateResolution {
  const traces = tracesOf(base, text)
  const trace = traces.find(({ arrival }) => arrival.kind === 'file') ?? traces.find(isUnresolved) ?? traces[0]
  if (trace === undefined) return { kind: 'outside' }
  return resolutionOf(base, trace, text)
}

/** Of an absolute path one. A bare name is that of a snapshot below the base directory, as the sandbox manager's IsTemplate(baseDir, name) has it. */
export function tracesOf(base: BaseDirectory, text: string): readonly PathTrace[] {
  if (text.startsWith('/')) return [tracePath(base, text)]
  const [first] = lexicalSegments(text)
  if (first === undefined || first === '..') return []
  return [tracePath(base, `${text}/${ROOTFS_FILE}`), tracePath(base, text)]
}

function isUnresolved({ arrival }: { readonly arrival: Arrival }): boolean {
  return arrival.kind === 'unresolved'
}

function resolutionOf(base: BaseDirectory, { arrival, end }: PathTrace, text: string): TemplateResolution {
  switch (arrival.kind) {
    case 'file': {
      const { dev, ino, size, mtimeMs, mtimeNs, ctimeNs } = arrival.stat
      const path = `${base.path}/${end}`
      return {
        kind: 'file',
        where: 'inside',
        path,
        dev,
        ino,
        sizeBytes: Number(size),
        mtimeMs: Number(mtimeMs),
        mtimeNs,
        ctimeNs,
      }
    }
    case 'missing':
      return { kind: text.startsWith('/') || isName(text) ? 'missing' : 'outside' }
    case 'outside':
      return { kind: 'outside' }
    case 'unresolved':
      return arrival
  }
}

/** A relative path that is no name of a snapshot begins at the working directory of its writer, which the agent does not know. */
function isName(text: string): boolean {
  try {
    parseName(text)
    return true
  } catch {
    return false
  }
}
