// docs/api.md: every field of every kind, from the CustomResourceDefinitions as they are applied.
import { customResourceDefinitions } from '../src/api/crd.ts'

export interface Schema {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: Schema
  readonly required?: readonly string[]
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly format?: string
  readonly maxLength?: number
  readonly maxItems?: number
  readonly maxProperties?: number
}

interface Definition {
  readonly spec: {
    readonly group: string
    readonly scope: string
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames: readonly string[] }
    readonly versions: readonly [
      {
        readonly name: string
        readonly schema: { readonly openAPIV3Schema: Schema }
        readonly selectableFields?: readonly { readonly jsonPath: string }[]
      },
    ]
  }
}

export function apiPage(notice: string): string {
  const kinds = customResourceDefinitions().flatMap(([, definition]) => ['', ...kindSection(definition as Definition)])
  return [
    `<!-- ${notice} -->`,
    '# API reference',
    '',
    'Group `vmsnapshot.io`. `kubectl explain vmsnap --recursive` says the same of the definitions that a cluster has. Whoever writes `spec` is a person or their',
    'tools; `status` is written by the agent of the node and by the controller. Every reason that a condition can carry: [reasons.md](reasons.md).',
    ...kinds,
    '',
  ].join('\n')
}

function kindSection({ spec: { group, scope, names, versions } }: Definition): readonly string[] {
  const [{ name: version, schema, selectableFields = [] }] = versions
  const { spec, status } = schema.openAPIV3Schema.properties ?? {}
  const selectors = selectableFields.map(({ jsonPath }) => `\`${jsonPath.slice(1)}\``)
  const selectable = selectors.length === 0 ? '' : ` Field selectors: ${selectors.join(', ')}.`
  return [
    `## ${names.kind}`,
    '',
    schema.openAPIV3Schema.description ?? '',
    '',
    `\`${group}/${version}\`, ${scope === 'Cluster' ? 'cluster-scoped' : 'namespaced'}, \`kubectl get ${names.shortNames[0]}\`.${selectable}`,
    '',
    '| field | type | meaning |',
    '|---|---|---|',
    ...fieldRows('spec', spec ?? {}, false),
    ...fieldRows('status', status ?? {}, false),
  ]
}

function fieldRows(path: string, schema: Schema, isRequired: boolean): readonly string[] {
  const notes = [isRequired ? 'Required.' : '', defaultOf(schema)].filter((note) => note !== '')
  const row = `| \`${path}\` | ${typeOf(schema)} | ${[schema.description ?? '', ...notes].join(' ').trim()} |`
  const inner = schema.items ?? schema
  const below = schema.items === undefined ? path : `${path}[]`
  const properties = Object.entries(inner.properties ?? {})
  // A condition has the fields of metav1.Condition, and says so.
  if (path.endsWith('.conditions')) return [row]
  const rows = properties.flatMap(([name, field]) =>
    fieldRows(`${below}.${name}`, field, inner.required?.includes(name) ?? false),
  )
  return [row, ...rows]
}

function defaultOf({ default: value }: Schema): string {
  return value === undefined ? '' : `Default: \`${value}\`.`
}

function typeOf({
  type,
  format,
  items,
  additionalProperties,
  maxLength,
  maxItems,
  maxProperties,
  ...schema
}: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (items !== undefined)
    return `list of ${items.properties === undefined ? typeOf(items) : 'object'}${upTo(maxItems)}`
  if (additionalProperties !== undefined) return `map of ${typeOf(additionalProperties)}${upTo(maxProperties)}`
  if (format !== undefined) return format
  return maxLength === undefined ? `${type}` : `${type}, ${maxLength} characters at most`
}

function upTo(count: number | undefined): string {
  return count === undefined ? '' : `, ${count} at most`
}
