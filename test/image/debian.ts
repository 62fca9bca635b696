// A root file system out of the Debian packages that this machine has installed: their files, copied. Takes seconds and no network.
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './shell.ts'

/** Directories that Debian 12 has below /usr, and a link to each at the root. */
const merged = ['bin', 'sbin', 'lib', 'lib64']
const unwanted =
  /^\/(usr\/share\/(doc|man|locale|info|lintian|bash-completion)|var\/(lib|cache|log)|dev|proc|sys|run)\//

interface Package {
  readonly isEssential: boolean
  readonly dependencies: readonly string[]
}

/** `all`: with what these packages depend on, and whatever is essential to a system. */
export async function writeRoot(root: string, names: readonly string[], { all }: { all: boolean }): Promise<void> {
  const wanted = all ? closureOf(names, await installed()) : names
  const files = (await run('dpkg-query', ['--listfiles', ...wanted])).split('\n')
  const kept = files.filter((path) => path.startsWith('/') && path !== '/.' && !unwanted.test(path) && existsSync(path))
  for (const name of merged) {
    mkdirSync(join(root, 'usr', name), { recursive: true })
    symlinkSync(`usr/${name}`, join(root, name))
  }
  for (const name of ['tmp', 'proc', 'sys', 'dev', 'run', 'var/tmp']) mkdirSync(join(root, name), { recursive: true })
  const list = `${root}.files`
  writeFileSync(list, [...new Set(kept), '/etc/ssl/certs/ca-certificates.crt'].join('\n'))
  const copy = `tar --create --no-recursion --files-from="$1" --file=- | tar --extract --keep-directory-symlink --directory="$2"`
  await run('sh', ['-c', copy, 'sh', list, root], { cwd: '/' })
}

async function installed(): Promise<ReadonlyMap<string, Package>> {
  const field = (name: string) => `$\{${name}}`
  const format = `${field('Package')}\\t${field('Essential')}\\t${field('Pre-Depends')},${field('Depends')}\\n`
  const lines = (await run('dpkg-query', ['--show', `--showformat=${format}`])).split('\n')
  return new Map(
    lines.map((line) => {
      const [name = '', essential = '', depends = ''] = line.split('\t')
      return [name, { isEssential: essential === 'yes', dependencies: depends.split(/[,|]/).map(bareName) }] as const
    }),
  )
}

function bareName(dependency: string): string {
  return dependency.trim().replace(/[ :(].*/, '')
}

/** Of alternatives, whichever are installed. */
function closureOf(names: readonly string[], packages: ReadonlyMap<string, Package>): readonly string[] {
  const found = new Set<string>()
  const due = [...names, ...[...packages].filter(([, { isEssential }]) => isEssential).map(([name]) => name)]
  for (let name = due.pop(); name !== undefined; name = due.pop()) {
    const known = packages.get(name)
    if (known === undefined || found.has(name)) continue
    found.add(name)
    due.push(...known.dependencies)
  }
  return [...found]
}
