// The generated files of the chart: values.yaml, values.schema.json, the table of its README, and the definitions.

import { Document, isMap, isScalar, type Node, stringify } from 'yaml'
import * as z from 'zod'
import { customResourceDefinitions } from '../src/api/crd.ts'
import { chartValues } from './chart-values.ts'

interface Schema {
  readonly description?: string
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly default?: unknown
}

const lineWidth = 110

export function chartFiles(notice: string): readonly (readonly [path: string, content: string])[] {
  const schema = z.toJSONSchema(chartValues, { target: 'draft-7', io: 'input' })
  const definitions = customResourceDefinitions().map(([, definition]) => stringify(definition, { lineWidth: 140 }))
  return [
    ['deploy/chart/values.schema.json', `${JSON.stringify(schema, undefined, 2)}\n`],
    ['deploy/chart/values.yaml', valuesFile(schema as Schema, notice)],
    ['deploy/chart/README.md', readme(schema as Schema, notice)],
    ['deploy/chart/crds/crds.yaml', `# ${notice}\n${definitions.join('---\n')}`],
  ]
}

/** Every value with its default, below its meaning, in the form that helm-docs reads. */
function valuesFile(schema: Schema, notice: string): string {
  const document = new Document(chartValues.parse({}))
  document.commentBefore = ` ${notice}`
  comment(document.contents, schema)
  return document.toString({ lineWidth: 0 })
}

function comment(node: Node | null, { properties = {} }: Schema): void {
  if (!isMap(node)) return
  for (const { key, value } of node.items) {
    if (!isScalar(key)) continue
    const schema = properties[String(key.value)]
    if (schema?.description === undefined) continue
    key.commentBefore = wrapped(`-- ${schema.description}`)
    comment(value as Node | null, schema)
  }
}

function wrapped(text: string): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last.length + word.length > lineWidth) lines.push(` ${word}`)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.join('\n')
}

function readme(schema: Schema, notice: string): string {
  return [
    `<!-- ${notice} -->`,
    '# vmsnapshot-operator',
    '',
    'One installation for a cluster: agent, controller, their rights and policies, and the CustomResourceDefinitions, which stay when the chart goes.',
    'How to install, upgrade and remove it: [docs/install.md](../../docs/install.md).',
    '',
    '| value | type | default | meaning |',
    '|---|---|---|---|',
    ...rows(schema, ''),
    '',
  ].join('\n')
}

function rows({ properties = {} }: Schema, prefix: string): readonly string[] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const key = `${prefix}${name}`
    if (schema.properties !== undefined) return rows(schema, `${key}.`)
    if (schema.default === undefined) return []
    const type = schema.type ?? typeof schema.default
    return [`| \`${key}\` | ${type} | \`${JSON.stringify(schema.default)}\` | ${schema.description} |`]
  })
}
