// Holds the picture of the house against the imports of src: a room may know only what the table gives it.
// V: values and types, T: types only. A file is in the first row whose pattern matches.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..', 'src')

type Use = 'V' | 'T'
interface Row {
  readonly name: string
  readonly files: RegExp
  readonly may: Readonly<Record<string, Use>>
}

const everything = {
  api: 'V',
  snapshot: 'V',
  inspect: 'V',
  uninstall: 'V',
  agent: 'V',
  controller: 'V',
  kube: 'V',
  telemetry: 'V',
  config: 'V',
} as const

const table: readonly Row[] = [
  { name: 'wiring', files: /^(main\.ts|[a-z]+\/run\.ts)$/, may: everything },
  { name: 'api', files: /^api\//, may: { api: 'V' } },
  { name: 'snapshot', files: /^snapshot\//, may: { snapshot: 'V' } },
  { name: 'kube', files: /^kube\//, may: { kube: 'V' } },
  { name: 'telemetry', files: /^telemetry\//, may: { telemetry: 'V', kube: 'T' } },
  { name: 'config', files: /^config\.ts$/, may: { config: 'V' } },
  { name: 'uninstall', files: /^uninstall\//, may: { uninstall: 'V', api: 'V', kube: 'V' } },
  { name: 'inspect', files: /^inspect\//, may: { inspect: 'V', api: 'V', snapshot: 'V' } },
  {
    name: 'agent, pure',
    files: /^agent\/(decide|status|claims|transitions|inventory-status)\.ts$/,
    may: { agent: 'V', api: 'V', snapshot: 'T', 'kube/object': 'V' },
  },
  {
    name: 'agent',
    files: /^agent\//,
    may: {
      agent: 'V',
      api: 'V',
      snapshot: 'V',
      'kube/object': 'V',
      'kube/api-error': 'V',
      kube: 'T',
      telemetry: 'T',
      config: 'T',
    },
  },
  {
    name: 'controller',
    files: /^controller\//,
    may: {
      controller: 'V',
      api: 'V',
      'kube/object': 'V',
      'kube/api-error': 'V',
      kube: 'T',
      telemetry: 'T',
      config: 'T',
    },
  },
]

/** Files that must stay pure: no `node:*` and no clock of their own. */
const pure = [
  /^api\//,
  /^agent\/(decide|status|claims|transitions|inventory-status)\.ts$/,
  /^controller\/(selector|expand|row|aggregate|node-state|release|node-record)\.ts$/,
  /^uninstall\/(holder|decide|text)\.ts$/,
  /^kube\/object\.ts$/,
  /^snapshot\/(report|disk|layout|answers|header|header-findings|shares|meta|vmstate|crc64|findings)\.ts$/,
]

interface Import {
  readonly from: string
  readonly target: string
  readonly typeOnly: boolean
}

const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
const imports = sources.flatMap(importsOf)

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = text.matchAll(/^(?:import|export)\s+(type\s+)?(?:([^'";]*?)\s*from\s*)?'([^']+)'/gm)
  const dynamic = text.matchAll(/\bimport\(\s*'([^']+)'/g)
  return [
    ...[...found].map(([, type, names, target = '']) => ({
      from: file,
      target,
      typeOnly: type !== undefined || onlyTypes(names),
    })),
    ...[...dynamic].map(([, target = '']) => ({ from: file, target, typeOnly: false })),
  ]
}

function onlyTypes(names: string | undefined): boolean {
  const inner = /^\{([\s\S]*)\}$/.exec(names?.trim() ?? '')?.[1]
  return inner?.split(',').every((name) => name.trim() === '' || name.trim().startsWith('type ')) ?? false
}

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '')
}

function violation({ from, target, typeOnly }: Import): string | undefined {
  if (!target.startsWith('.')) return undefined
  const path = relative(root, normalize(join(root, dirname(from), target)))
  const row = table.find(({ files }) => files.test(from))
  if (row === undefined) return `${from}: no row of the table knows this file`
  const use = row.may[path.replace(/\.ts$/, '')] ?? row.may[roomOf(path)]
  if (use === 'V' || (use === 'T' && typeOnly)) return undefined
  return `${from}: ${row.name} may not import ${use === 'T' ? 'values of ' : ''}${path}`
}

test('imports follow the table of rooms', () => {
  expect(imports.length).toBeGreaterThan(0)
  expect(imports.map(violation).filter((line) => line !== undefined)).toEqual([])
})

test('pure files import nothing of Node', () => {
  const impure = imports.filter(
    ({ from, target }) => target.startsWith('node:') && pure.some((files) => files.test(from)),
  )
  expect(impure).toEqual([])
})

test('only config reads the environment of the process', () => {
  const readers = sources.filter((file) => /process\.env\b/.test(readFileSync(join(root, file), 'utf8')))
  expect(readers).toEqual(['config.ts'])
})
