// Links between the pages of the repository lead somewhere, and what a page says of the chart's values there is.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { chartValues } from '../build/chart-values.ts'

const root = join(import.meta.dirname, '..')
const pages = ['.', 'docs', 'docs/decisions', 'deploy/chart'].flatMap((directory) =>
  readdirSync(join(root, directory))
    .filter((file) => file.endsWith('.md'))
    .map((file) => join(directory, file)),
)
const textOf = (page: string) => readFileSync(join(root, page), 'utf8')

test('relative links lead to files', () => {
  const broken = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  )
  expect(pages.length).toBeGreaterThan(10)
  expect(broken).toEqual([])
})

test('values of the chart that a page names exist', () => {
  const defaults = chartValues.parse({})
  const roots = Object.keys(defaults).join('|')
  const named = pages.flatMap((page) =>
    [...textOf(page).matchAll(new RegExp(`\\b(?:${roots})(?:\\.[a-zA-Z]+)+(?=[=\`,])`, 'g'))]
      .map(([value]) => value)
      .filter((value) => !/\.(ts|lock)$/.test(value)),
  )
  expect(named.length).toBeGreaterThan(10)
  expect([...new Set(named)].filter((value) => !has(defaults, value.split('.')))).toEqual([])
})

function has(value: unknown, [key, ...rest]: readonly string[]): boolean {
  if (key === undefined) return true
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) && has(Reflect.get(value, key), rest)
}
