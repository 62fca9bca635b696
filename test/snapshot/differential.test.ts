// The sandbox manager's own package, compiled as it stands, is asked the same as ours on generated directories. Its source is not part of this
// project: it is looked for beside the checkout, and the test is skipped, loudly, where it is not there. More by hand: DIFFERENTIAL_CASES=5000.
import { isUtf8 } from 'node:buffer'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { decodeHeader, encodeHeader, HeaderError } from '../../src/snapshot/header.ts'
import * as local from '../../src/snapshot/local.ts'
import { MetaError } from '../../src/snapshot/meta.ts'
import { errnoOf } from '../../src/snapshot/problem.ts'
import { asNobody, nobody } from '../support/nobody.ts'

const project = join(import.meta.dirname, '..', '..')
const source = join(project, '..', 'shared', 'reference', 'snapshot_local.go.txt')
const hasGo = spawnSync('go', ['version']).status === 0
const canRun = existsSync(source) && hasGo
if (!canRun)
  console.warn('SKIPPED: the comparison with the original package needs its source beside the checkout, and Go')

const count = Number(process.env.DIFFERENTIAL_CASES ?? 1_000)
const seed = Number(process.env.DIFFERENTIAL_SEED ?? Date.now() % 2 ** 31)
const root = mkdtempSync(join(tmpdir(), 'vmsnapshot-differential-'))
chmodSync(root, 0o755)
afterAll(() => {
  // Those within come after those that they are in.
  for (const path of closed) chmodSync(path, 0o755)
  rmSync(root, { recursive: true, force: true })
})

type Entry =
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'sparse'; readonly length: number }
  | { readonly kind: 'directory' | 'fifo' | 'hardLink' }

/** What a file or directory may be read by; undefined: by everybody. */
type Mode = number | undefined

interface Spec {
  readonly mode: Mode
  readonly entries: readonly (readonly [name: Uint8Array, entry: Entry, mode: Mode])[]
}

const text = (name: string) => new TextEncoder().encode(name)
const nil = '00000000-0000-0000-0000-000000000000'
const ids = [
  nil,
  '11111111-2222-3333-4444-555555555555',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  'abcdefab-cdef-abcd-efab-cdefabcdefab',
]
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

const header = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        fields: fc.record({
          version: fc.oneof(fc.constantFrom(1n, 2n, 4n, 5n), u64),
          blockSizeBytes: fc.constantFrom(0n, 1n, 4096n, 2n ** 21n),
          sizeBytes: fc.oneof(fc.constantFrom(0n, 8192n, 2n ** 40n), u64),
          generation: u64,
          buildID: fc.constantFrom(...ids),
          baseBuildID: fc.constantFrom(...ids),
        }),
        mappings: fc.array(
          fc.record({ offset: u64, lengthBytes: u64, buildID: fc.constantFrom(...ids), storageOffset: u64 }),
          { maxLength: 6 },
        ),
      })
      .map(({ fields, mappings }) => encodeHeader(fields, mappings)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
)
const key = fc.constantFrom('base_template', 'Base_Template', 'BASE_TEMPLATE', 'ba\u017fe_template', 'template_id', '')
const value = fc.oneof(
  fc.string().map((found) => JSON.stringify(found)),
  fc.constantFrom('null', '5', '{}', '[]', 'true', '"\\ud800"', '"\\u0000"', '{"base_template":"x"}'),
)
const document = fc
  .array(fc.tuple(key, value), { maxLength: 4 })
  .map((members) => `{${members.map(([name, found]) => `${JSON.stringify(name)}:${found}`).join(',')}}`)
const meta = fc.oneof(
  { weight: 5, arbitrary: document.map(text) },
  { weight: 1, arbitrary: fc.json().map(text) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: fc
      .uint8Array({ maxLength: 12 })
      .map((bytes) => Buffer.concat([text('{"base_template":"'), bytes, text('"}')])),
  },
)
const anyFile: fc.Arbitrary<Entry> = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => ({ kind: 'data' as const, bytes })),
  fc.nat(100_000).map((length) => ({ kind: 'sparse' as const, length })),
  fc.constantFrom({ kind: 'directory' as const }, { kind: 'fifo' as const }, { kind: 'hardLink' as const }),
)
/** Reading a FIFO would wait for ever, in the original too. */
const readFile = (bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Entry> =>
  fc.oneof(
    { weight: 8, arbitrary: bytes.map((found) => ({ kind: 'data' as const, bytes: found })) },
    { weight: 1, arbitrary: fc.constant({ kind: 'directory' as const }) },
  )
/** Whom it refuses: everything, what lists a directory, what goes through it. */
const mode = fc.oneof(
  { weight: 11, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(0, 0o111, 0o444) },
)
const maybe = (name: string, entry: fc.Arbitrary<Entry>) =>
  fc.option(fc.tuple(fc.constant(text(name)), entry, mode), { freq: 4 })
const oddName = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x41 : byte)))
  .filter((bytes) => !/^(\.{1,2}|memfile\.header|rootfs\.meta)$/.test(Buffer.from(bytes).toString('latin1')))

const spec: fc.Arbitrary<Spec> = fc
  .tuple(
    maybe('snapfile', anyFile),
    maybe('memfile', anyFile),
    maybe('memfile.header', readFile(header)),
    maybe('rootfs.ext4', anyFile),
    maybe('rootfs.cow', anyFile),
    maybe('rootfs.meta', readFile(meta)),
    fc.array(
      fc.tuple(
        fc.oneof(
          oddName,
          fc.constantFrom(...ids, 'raw', '').map((id) => text(`memfile.${id}`)),
        ),
        anyFile,
        mode,
      ),
      { maxLength: 4 },
    ),
    mode,
  )
  .map(([snapfile, memfile, headerFile, full, cow, metaFile, more, own]) => ({
    mode: own,
    entries: [...[snapfile, memfile, headerFile, full, cow, metaFile].filter((entry) => entry !== null), ...more],
  }))

/** Directories whose rights must be given back before they can be cleared away. */
const closed: (string | Buffer)[] = []

function build(directory: string, { mode: own, entries }: Spec): void {
  mkdirSync(directory, { recursive: true })
  const made = new Set<string>()
  for (const [name, entry, refusing] of entries) {
    const path = Buffer.concat([Buffer.from(`${directory}/`), name])
    if (made.has(path.toString('latin1'))) continue
    made.add(path.toString('latin1'))
    make(directory, path, entry)
    // Links share their rights with what they are a link to.
    if (entry.kind !== 'hardLink') close(path, refusing)
  }
  close(directory, own)
}

function close(path: string | Buffer, refusing: Mode): void {
  if (refusing === undefined) return
  closed.unshift(path)
  chmodSync(path, refusing)
}

function make(directory: string, path: Buffer, entry: Entry): void {
  switch (entry.kind) {
    case 'data':
      writeFileSync(path, entry.bytes)
      break
    case 'sparse': {
      const fd = openSync(path, 'w')
      ftruncateSync(fd, entry.length)
      closeSync(fd)
      break
    }
    case 'directory':
      mkdirSync(path)
      writeFileSync(Buffer.concat([path, Buffer.from('/inside')]), Buffer.alloc(5_000))
      break
    case 'fifo':
      // mkfifo takes no names that are not UTF-8 from here; a plain file does as well for those.
      if (isUtf8(path)) execFileSync('mkfifo', [path.toString('utf8')])
      else writeFileSync(path, '')
      break
    case 'hardLink': {
      const original = join(directory, '..', 'original')
      if (!existsSync(original)) writeFileSync(original, Buffer.alloc(9_000, 1))
      linkSync(original, path)
    }
  }
}

function ours(base: string, name: string): Record<string, unknown> {
  return {
    exists: local.exists(base, name),
    isTemplate: local.isTemplate(base, name),
    isSnapshot: local.isSnapshot(base, name),
    hasCow: local.hasCow(base, name),
    ...answer('size', 'sizeError', () => local.dirSize(base, name)),
    ...answer('meta', 'metaError', () =>
      Buffer.from(local.readMeta(base, name).baseTemplate, 'utf8').toString('base64'),
    ),
    ...headerAnswers(base, name),
  }
}

function answer(good: string, bad: string, ask: () => unknown): Record<string, unknown> {
  try {
    return { [good]: ask() }
  } catch (error) {
    if (error instanceof MetaError || error instanceof HeaderError) return { [bad]: error.kind }
    return { [bad]: errnoOf(error) ?? (error as Error).message }
  }
}

function headerAnswers(base: string, name: string): Record<string, unknown> {
  const decoded = answer('header', 'headerError', () => decodeHeader(local.readHeader(base, name)))
  if (decoded.headerError !== undefined) return decoded
  return answer('diffFiles', 'diffError', () => {
    const prefix = `${local.dirPath(base, name)}/`
    const files = local.listDiffFiles(base, name, decoded.header as ReturnType<typeof decodeHeader>)
    return Object.fromEntries([...files].map(([id, path]) => [id, path.slice(prefix.length)]))
  })
}

/** The original with its answers around it, as a program. */
function buildOriginal(): string {
  const module = join(root, 'module')
  mkdirSync(join(module, 'cmd'), { recursive: true })
  for (const file of ['go.mod', 'go.sum', 'answers.go'])
    copyFileSync(join(project, 'test', 'differential', file), join(module, file))
  copyFileSync(source, join(module, 'local.go'))
  writeFileSync(
    join(module, 'cmd', 'main.go'),
    'package main\n\nimport (\n\t"os"\n\tsnapshot "vmsnapshot.io/differential"\n)\n\nfunc main() { snapshot.Answer(os.Stdin, os.Stdout) }\n',
  )
  execFileSync('go', ['build', '-o', join(root, 'original'), './cmd'], {
    cwd: module,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return join(root, 'original')
}

describe.skipIf(!canRun)('the original package', () => {
  test(`agrees on ${count} generated directories (seed ${seed})`, () => {
    const original = buildOriginal()
    const specs = fc.sample(spec, { numRuns: count, seed })
    const names = specs.map((entries, index) => {
      const name = index % 3 === 0 ? `group/s${index}` : `s${index}`
      build(join(root, 'base', name), entries)
      return name
    })
    const base = join(root, 'base')
    const input = [...names, 'absent'].map((name) => `${base}\t${name}\n`).join('')
    const theirs = execFileSync(original, {
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      ...nobody,
    })
      .trimEnd()
      .split('\n')
    const differences = [...names, 'absent'].flatMap((name, index) => {
      const [a, b] = [asNobody(() => ours(base, name)), JSON.parse(theirs[index] ?? 'null')]
      const same = (left: unknown, right: unknown) => JSON.stringify(sorted(left)) === JSON.stringify(sorted(right))
      return same(a, b)
        ? []
        : [
            {
              name,
              ours: a,
              theirs: b,
              mode: specs[index]?.mode,
              entries: specs[index]?.entries.map(([file, ...rest]) => [Buffer.from(file).toString('latin1'), ...rest]),
            },
          ]
    })
    expect(differences.slice(0, 3)).toEqual([])
    console.log(`${theirs.length} directories compared, ${differences.length} differences`)
  }, 300_000)

  test('differs on links, which are never followed here', () => {
    const original = join(root, 'original')
    const [base, at] = [join(root, 'links'), join(root, 'links', 'snap')]
    mkdirSync(at, { recursive: true })
    writeFileSync(join(base, 'file'), 'x')
    for (const name of ['snapfile', 'memfile', 'memfile.header', 'rootfs.ext4']) symlinkSync('../file', join(at, name))
    const theirs = JSON.parse(execFileSync(original, { input: `${base}\tsnap\n`, encoding: 'utf8' }))
    expect([theirs.exists, local.exists(base, 'snap')]).toEqual([true, false])
    expect([theirs.isTemplate, local.isTemplate(base, 'snap')]).toEqual([true, false])
  })
})

test.each(['', '.', '..', 'a/../..', '/etc', 'a//b'])('the name %j is refused by every function', (name) => {
  const asks = [
    local.exists,
    local.isTemplate,
    local.isSnapshot,
    local.hasCow,
    local.dirSize,
    local.readMeta,
    local.remove,
    local.ensureDir,
    local.dirPath,
  ]
  for (const ask of asks) expect(() => ask(root, name)).toThrow(RangeError)
})

function sorted(found: unknown): unknown {
  if (typeof found !== 'object' || found === null) return found
  return Object.fromEntries(
    Object.entries(found)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, sorted(inner)]),
  )
}
