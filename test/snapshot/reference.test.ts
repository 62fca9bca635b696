// The recorded answers of the sandbox manager's own package on 2,500 directories: each is built again and asked the same.
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { decodeHeader, HeaderError, type HeaderErrorKind } from '../../src/snapshot/header.ts'
import * as local from '../../src/snapshot/local.ts'
import { MetaError } from '../../src/snapshot/meta.ts'
import { errnoOf } from '../../src/snapshot/problem.ts'

type FileSpec =
  | readonly [path: string, kind: 'data', base64: string]
  | readonly [path: string, kind: 'size', length: number]
  | readonly [path: string, kind: 'link', target: string]
  | readonly [path: string, kind: 'dir' | 'fifo']

interface Case {
  readonly id: number
  readonly name: string
  readonly files?: readonly FileSpec[]
  readonly expect: Readonly<Record<string, unknown>>
}

const fixture = join(import.meta.dirname, '..', 'fixtures', 'reference', 'cases.jsonl.gz')
const cases = gunzipSync(readFileSync(fixture))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Case)

const root = mkdtempSync(join(tmpdir(), 'vmsnapshot-reference-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test(`${cases.length} recorded directories get the recorded answers`, () => {
  expect(cases.length).toBe(2_500)
  const differences: unknown[] = []
  for (const recorded of cases) {
    const baseDir = join(root, String(recorded.id))
    mkdirSync(baseDir)
    build(join(baseDir, recorded.name), recorded.files)
    const answers = answersOf(baseDir, recorded.name)
    if (!isSame(answers, recorded.expect)) differences.push({ id: recorded.id, expected: recorded.expect, answers })
    rmSync(baseDir, { recursive: true })
  }
  expect(differences.slice(0, 5)).toEqual([])
}, 120_000)

function isSame(a: unknown, b: unknown): boolean {
  try {
    expect(a).toEqual(b)
    return true
  } catch {
    return false
  }
}

function build(directory: string, files: readonly FileSpec[] | undefined): void {
  if (files === undefined) return
  mkdirSync(directory, { recursive: true })
  for (const [path, kind, value] of files) {
    const at = join(directory, path)
    mkdirSync(dirname(at), { recursive: true })
    if (kind === 'data') writeFileSync(at, Buffer.from(value, 'base64'))
    else if (kind === 'size') writeSparse(at, value)
    else if (kind === 'link') linkSync(join(directory, value), at)
    else if (kind === 'dir') mkdirSync(at, { recursive: true })
    else execFileSync('mkfifo', [at])
  }
}

function writeSparse(path: string, length: number): void {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, length)
  closeSync(fd)
}

function answersOf(baseDir: string, name: string): Record<string, unknown> {
  return {
    exists: local.exists(baseDir, name),
    isTemplate: local.isTemplate(baseDir, name),
    hasCow: local.hasCow(baseDir, name),
    ...metaOf(baseDir, name),
    ...headerOf(baseDir, name),
  }
}

function metaOf(baseDir: string, name: string): object {
  try {
    return { meta: { base_template: local.readMeta(baseDir, name).baseTemplate } }
  } catch (error) {
    if (error instanceof MetaError) return { metaError: error.kind === 'syntax' ? 'jsonSyntax' : 'jsonType' }
    return { metaError: errnoOf(error) }
  }
}

const headerErrors: Readonly<Partial<Record<HeaderErrorKind, string>>> = {
  short: 'headerShort',
  partialMapping: 'headerPartialEntry',
  zeroBlockSize: 'headerZeroBlockSize',
  tooManyBlocks: 'headerBlockCount',
}

function headerOf(baseDir: string, name: string): object {
  try {
    const header = decodeHeader(local.readHeader(baseDir, name))
    const builds: Record<string, number> = {}
    for (const { buildID } of header.mappings()) builds[buildID] = (builds[buildID] ?? 0) + 1
    const { version, blockSizeBytes, sizeBytes, generation, buildID, baseBuildID, mappingCount } = header
    return {
      header: {
        version: Number(version),
        blockSize: String(blockSizeBytes),
        size: String(sizeBytes),
        generation: String(generation),
        buildId: buildID,
        baseBuildId: baseBuildID,
        entries: mappingCount,
        builds,
      },
      ...diffFilesOf(baseDir, name, header),
    }
  } catch (error) {
    return { headerError: error instanceof HeaderError ? headerErrors[error.kind] : errnoOf(error) }
  }
}

function diffFilesOf(baseDir: string, name: string, header: ReturnType<typeof decodeHeader>): object {
  try {
    const files = local.listDiffFiles(baseDir, name, header)
    const prefix = `${local.dirPath(baseDir, name)}/`
    return { diffFiles: Object.fromEntries([...files].map(([id, path]) => [id, path.slice(prefix.length)])) }
  } catch (error) {
    return { diffError: error instanceof Error ? error.message : String(error) }
  }
}
