// What an object says of its directory against what `inspect -o json` says of it, by a process of its own.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { VMSnapshot } from '../../src/api/vmsnapshot.ts'
import { keyOf } from '../../src/kube/resource.ts'
import { carriesOurs, type Scenery } from './expectation.ts'

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

/** The fields of docs/inspect.md that a status has too. */
export interface Inspected {
  readonly name: string
  readonly path: string
  readonly exists: boolean | null
  readonly template: boolean | null
  readonly format: string | null
  readonly restorable: boolean | null
  readonly reasons: readonly { readonly code: string; readonly severity: string }[]
  readonly allocatedBytes: number | null
  readonly apparentBytes: number | null
  readonly baseTemplate: string | null
  readonly header: Readonly<Record<string, string>> | null
  readonly diffFiles?: Readonly<Record<string, string>>
  readonly diffError?: string
  readonly vmState: object | null
  readonly missing: readonly string[]
  readonly unreferenced: readonly string[]
}

/** By directory name. */
export async function inspected(baseDir: string, names: readonly string[]): Promise<ReadonlyMap<string, Inspected>> {
  if (names.length === 0) return new Map()
  const args = [main, 'inspect', baseDir, ...names, '-o', 'json', '--settle-time=0s']
  const { stdout } = await promisify(execFile)(process.execPath, args).catch((error) => error as { stdout: string })
  const reports = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Inspected)
  return new Map(reports.map((report) => [report.name, report]))
}

export function statusDifferences(
  object: VMSnapshot,
  report: Inspected | undefined,
  scenery: Scenery,
): readonly string[] {
  if (report === undefined) return [`${keyOf(object)} was not inspected`]
  // Nobody looks at what nobody answers for.
  if (!carriesOurs(object) || scenery.isGivenUp(object)) return []
  const expected = { ...expectedConditions(object, report, scenery), snapshot: expectedSnapshot(report) }
  const found = { ...foundConditions(object), snapshot: foundSnapshot(object) }
  const [want, have] = [JSON.stringify(expected), JSON.stringify(found)]
  return want === have ? [] : [`${keyOf(object)} has the status\n  ${have}, of its directory inspect says\n  ${want}`]
}

const truth = (answer: boolean | null) => (answer === null ? 'Unknown' : answer ? 'True' : 'False')

function expectedConditions(object: VMSnapshot, report: Inspected, scenery: Scenery): object {
  const restorable = truth(report.restorable)
  const isDeleting = object.metadata.deletionTimestamp !== undefined
  const isFirst = !scenery.objects.some((other) => isSamePlace(other, object) && precedes(other, object))
  const ready = isDeleting || !isFirst ? 'False' : restorable
  return {
    exists: truth(report.exists),
    restorable,
    why: whyNot(report),
    ready,
    generation: object.metadata.generation,
  }
}

function foundConditions({ status }: VMSnapshot): object {
  const of = (name: string) => status?.conditions?.find(({ type }) => type === name)
  const restorable = of('Restorable')
  return {
    exists: of('Exists')?.status,
    restorable: restorable?.status,
    why: restorable?.status === 'True' ? 'Restorable' : restorable?.reason,
    ready: of('Ready')?.status,
    generation: status?.observedGeneration,
  }
}

function isSamePlace(a: VMSnapshot, b: VMSnapshot): boolean {
  return a !== b && a.spec.nodeName === b.spec.nodeName && a.spec.snapshotName === b.spec.snapshotName
}

function precedes({ metadata: a }: VMSnapshot, { metadata: b }: VMSnapshot): boolean {
  return a.creationTimestamp === b.creationTimestamp ? a.uid < b.uid : a.creationTimestamp < b.creationTimestamp
}

/** The first of the worst, as the condition's reason has it. */
function whyNot({ restorable, reasons }: Inspected): string {
  if (restorable === true) return 'Restorable'
  const worst = ['error', 'pending', 'unknown']
    .map((severity) => reasons.find((reason) => reason.severity === severity))
    .find((reason) => reason !== undefined)
  return worst?.code === 'MemoryBeingSaved' ? 'StillChanging' : (worst?.code ?? 'none')
}

function expectedSnapshot(report: Inspected): object | undefined {
  if (report.allocatedBytes === null) return undefined
  const missingDiff = report.diffError === undefined ? [] : [`memfile.${/[0-9a-f-]{36}/.exec(report.diffError)?.[0]}`]
  return {
    path: report.path,
    format: report.format,
    template: report.template,
    allocatedBytes: report.allocatedBytes,
    apparentBytes: report.apparentBytes,
    header: report.header,
    diffFiles: report.diffFiles ?? null,
    baseTemplate: report.baseTemplate,
    vmState: report.vmState,
    missing: [...report.missing, ...missingDiff],
    unreferenced: report.unreferenced,
  }
}

function foundSnapshot({ status }: VMSnapshot): object | undefined {
  const snapshot = status?.snapshot
  if (snapshot === undefined) return undefined
  const { memory, diffFiles, vmState } = snapshot
  return {
    path: snapshot.path,
    format: snapshot.format ?? null,
    template: snapshot.template,
    allocatedBytes: snapshot.allocatedBytes,
    apparentBytes: snapshot.apparentBytes,
    header: memory === undefined ? null : headerOf(memory),
    diffFiles:
      diffFiles === undefined ? null : Object.fromEntries(diffFiles.map(({ buildID, file }) => [buildID, file])),
    baseTemplate: snapshot.rootfs?.baseTemplate ?? null,
    vmState: vmState ?? null,
    missing: snapshot.missing ?? [],
    unreferenced: snapshot.unreferenced ?? [],
  }
}

type Memory = NonNullable<NonNullable<NonNullable<VMSnapshot['status']>['snapshot']>['memory']>

function headerOf({
  version,
  generation,
  buildID,
  baseBuildID,
  blockSizeBytes,
  sizeBytes,
  mappings,
  zeroBytes,
}: Memory) {
  return { version, generation, buildID, baseBuildID, blockSizeBytes, sizeBytes, mappings: String(mappings), zeroBytes }
}
