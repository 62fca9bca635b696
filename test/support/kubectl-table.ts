// What `kubectl get` prints, as people read it: a row for each object, its cells by the names of the columns.

/** Cells stand below the beginning of their column's name; an empty one is all blank. */
export function rowsOf(printed: string): readonly Readonly<Record<string, string>>[] {
  const [head = '', ...lines] = printed.trimEnd().split('\n')
  const columns = [...head.matchAll(/\S+( \S+)*/g)].map(({ 0: name, index }) => ({ name, from: index }))
  return lines.map((line) =>
    Object.fromEntries(
      columns.map(({ name, from }, index) => [name, line.slice(from, columns[index + 1]?.from).trim()] as const),
    ),
  )
}
