// Which build supplies which part of guest memory, as a bar for a terminal and as a picture. Pure.
import type { Header } from '../snapshot/header.ts'
import { NIL_BUILD_ID } from '../snapshot/layout.ts'
import { printable } from './printable.ts'

/** One of the equal parts that guest memory is cut into. */
export interface Cell {
  /** the build that supplies most of what is not zero; undefined: nothing but zeros, or nothing at all */
  readonly buildID: string | undefined
  /** that build supplies less than half of the part */
  readonly isMinor: boolean
}

/** What several mappings supply counts for the first: so that each cell is looked at once, however often a damaged header names it. */
export function cellsOf(header: Header, count: number): readonly Cell[] {
  const { sizeBytes } = header
  if (sizeBytes === 0n) return []
  const shares = Array.from({ length: count }, () => new Map<string, bigint>())
  const startOf = (cell: number) => (sizeBytes * BigInt(cell)) / BigInt(count)
  const cellAt = (offset: bigint) => Number(((offset + 1n) * BigInt(count) - 1n) / sizeBytes)
  let covered = 0n
  for (const { offset, lengthBytes, buildID } of header.mappings()) {
    const begin = offset > covered ? offset : covered
    const end = offset + lengthBytes < sizeBytes ? offset + lengthBytes : sizeBytes
    if (begin >= end) continue
    covered = end
    if (buildID === NIL_BUILD_ID) continue
    for (let cell = cellAt(begin); cell < count && startOf(cell) < end; cell++) {
      const from = begin > startOf(cell) ? begin : startOf(cell)
      const to = end < startOf(cell + 1) ? end : startOf(cell + 1)
      if (to > from) shares[cell]?.set(buildID, (shares[cell]?.get(buildID) ?? 0n) + to - from)
    }
  }
  return shares.map((share, cell) => cellOf(share, startOf(cell + 1) - startOf(cell)))
}

function cellOf(share: ReadonlyMap<string, bigint>, bytes: bigint): Cell {
  const [most] = [...share].sort((a, b) => (a[1] < b[1] ? 1 : a[1] > b[1] ? -1 : 0))
  return { buildID: most?.[0], isMinor: most !== undefined && most[1] * 2n < bytes }
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** A bar of `width` letters, one a build in the order of their first part, small where it is the lesser part, `·` for zeros, and a legend. */
export function barOf(header: Header, width: number): readonly string[] {
  const cells = cellsOf(header, width)
  const builds = buildsIn(cells)
  const letterOf = (buildID: string) => letters[builds.indexOf(buildID) % letters.length] ?? '?'
  const bar = cells.map(({ buildID, isMinor }) => {
    if (buildID === undefined) return '·'
    return isMinor ? letterOf(buildID).toLowerCase() : letterOf(buildID)
  })
  return [`[${bar.join('')}]`, ...builds.map((buildID) => `  ${letterOf(buildID)} ${buildID}`), '  · zero']
}

function buildsIn(cells: readonly Cell[]): readonly string[] {
  return [...new Set(cells.flatMap(({ buildID }) => buildID ?? []))]
}

const colours = ['#4e79a7', '#f28e2b', '#59a14f', '#e15759', '#76b7b2', '#edc948', '#b07aa1', '#9c755f']

/** The same as SVG: rows of cells from the beginning of memory to its end. */
export function svgOf(header: Header, title: string): string {
  const [columns, rows, size] = [128, 32, 6]
  const cells = cellsOf(header, columns * rows)
  const builds = buildsIn(cells)
  const colourOf = (buildID: string | undefined) =>
    buildID === undefined ? '#eeeeee' : colours[builds.indexOf(buildID) % colours.length]
  const squares = cells.map(
    ({ buildID, isMinor }, index) =>
      `<rect x="${(index % columns) * size}" y="${20 + Math.floor(index / columns) * size}" width="${size}" height="${size}" fill="${colourOf(buildID)}"${isMinor ? ' opacity="0.5"' : ''}/>`,
  )
  const legend = builds.map(
    (buildID, index) =>
      `<text x="14" y="${20 + rows * size + 16 * (index + 1)}">${buildID}</text><rect x="0" y="${10 + rows * size + 16 * (index + 1)}" width="10" height="10" fill="${colourOf(buildID)}"/>`,
  )
  const height = 30 + rows * size + 16 * (builds.length + 1)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${columns * size}" height="${height}" font-family="monospace" font-size="12">`,
    `<text x="0" y="14">${escapeXML(printable(title))}</text>`,
    ...squares,
    ...legend,
    '</svg>',
    '',
  ].join('\n')
}

function escapeXML(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
