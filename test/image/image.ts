// The Dockerfile built without a Docker engine and without a registry: by buildah, on stand-ins of its base images under their very names.
// A stand-in has the layout of what it stands for, with the files of this machine's Debian and the Node that runs this.
import { createHash } from 'node:crypto'
import {
  chownSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { writeRoot } from './debian.ts'
import { run } from './shell.ts'

const repository = join(import.meta.dirname, '..', '..')
const nonroot = 65532
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** undefined: images can be built here; else why not. */
export async function whyNoImages(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root can, on Linux'
  for (const program of ['buildah', 'dpkg-query', 'npm']) {
    const isThere = await run('sh', ['-c', `command -v ${program}`]).then(
      () => true,
      () => false,
    )
    if (!isThere) return `${program} is missing (Debian: apt-get install buildah)`
  }
  return undefined
}

/** Images of this user, kept for the next time. */
export class ImageStore {
  readonly #options: readonly string[]
  readonly #configuration: string

  constructor(
    directory = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'vmsnapshot-operator', 'images'),
  ) {
    mkdirSync(directory, { recursive: true })
    const [root, runroot, network] = ['storage', 'run', 'network'].map((name) => join(directory, name))
    this.#options = [`--root=${root}`, `--runroot=${runroot}`, '--storage-driver=overlay']
    // It would make /etc/cni otherwise, for networks that nothing here uses.
    this.#configuration = join(directory, 'containers.conf')
    writeFileSync(this.#configuration, `[network]\nnetwork_config_dir = ${JSON.stringify(network)}\n`)
  }

  buildah(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, CONTAINERS_CONF: this.#configuration }
    return run('buildah', [...this.#options, ...args], { env })
  }

  async has(image: string): Promise<boolean> {
    return (await this.buildah('images', '--quiet', '--filter', `reference=${image}`)) !== ''
  }
}

/** Makes both stand-ins, unless they are there already for this Node. */
export async function ensureBases(store: ImageStore): Promise<void> {
  await ensure(store, 'docker.io/library/node', '24-slim', writeNodeImage, [
    ...['--env', `PATH=${path}`, '--env', 'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt', '--cmd', 'node'],
  ])
  await ensure(store, 'gcr.io/distroless/nodejs24-debian12', 'latest', writeDistrolessImage, [
    ...['--env', `PATH=${path}`, '--env', 'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt'],
    ...['--workingdir', '/home/nonroot', '--entrypoint', '["/nodejs/bin/node"]'],
  ])
}

async function ensure(
  store: ImageStore,
  name: string,
  tag: string,
  write: (root: string) => Promise<void>,
  config: readonly string[],
): Promise<void> {
  // Made anew for another Node, or by other code: a second tag tells what it was made with.
  const version = `${name}:stand-in-${process.versions.node}-${sourceHash()}`
  if (await store.has(version)) return
  const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-base-'))
  try {
    const root = join(directory, 'root')
    mkdirSync(root)
    await write(root)
    const container = await store.buildah('from', 'scratch')
    await store.buildah('add', '--quiet', container, root, '/')
    await store.buildah('config', ...config, container)
    await store.buildah('commit', '--quiet', '--rm', container, `${name}:${tag}`)
    await store.buildah('tag', `${name}:${tag}`, version)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function sourceHash(): string {
  const hash = createHash('sha256')
  for (const file of ['debian.ts', 'image.ts']) hash.update(readFileSync(join(import.meta.dirname, file)))
  return hash.digest('hex').slice(0, 12)
}

/** node:24-slim: a Debian with node and npm. */
async function writeNodeImage(root: string): Promise<void> {
  await writeRoot(root, ['ca-certificates', 'libstdc++6'], { all: true })
  writeUsers(root)
  const local = join(root, 'usr', 'local')
  mkdirSync(join(local, 'lib', 'node_modules'), { recursive: true })
  mkdirSync(join(local, 'bin'), { recursive: true })
  copyFileSync(process.execPath, join(local, 'bin', 'node'))
  // Its command is a link to npm/bin/npm-cli.js.
  const npm = dirname(dirname(await run('sh', ['-c', 'realpath "$(command -v npm)"'])))
  cpSync(npm, join(local, 'lib', 'node_modules', 'npm'), { recursive: true, verbatimSymlinks: true })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin', 'npm'))
}

/** gcr.io/distroless/nodejs24-debian12: what node needs to run, and node. */
async function writeDistrolessImage(root: string): Promise<void> {
  const packages = ['base-files', 'ca-certificates', 'libc6', 'libgcc-s1', 'libstdc++6', 'netbase', 'tzdata']
  await writeRoot(root, packages, { all: false })
  writeUsers(root)
  mkdirSync(join(root, 'nodejs', 'bin'), { recursive: true })
  copyFileSync(process.execPath, join(root, 'nodejs', 'bin', 'node'))
}

function writeUsers(root: string): void {
  const home = join(root, 'home', 'nonroot')
  mkdirSync(home, { recursive: true })
  chownSync(home, nonroot, nonroot)
  mkdirSync(join(root, 'root'), { recursive: true })
  const user = (name: string, id: number, directory: string) => `${name}:x:${id}:${id}::${directory}:/sbin/nologin\n`
  writeFileSync(join(root, 'etc', 'passwd'), user('root', 0, '/root') + user('nonroot', nonroot, '/home/nonroot'))
  writeFileSync(join(root, 'etc', 'group'), `root:x:0:\nnonroot:x:${nonroot}:\n`)
}

/** Builds the Dockerfile of `context` under this name; the image's ID, which is the digest of its configuration. */
export async function buildImage(
  store: ImageStore,
  name: string,
  revision: string,
  context = repository,
): Promise<string> {
  await ensureBases(store)
  const options = ['--isolation=chroot', '--pull-never', '--network=host', '--layers=false', '--timestamp=0']
  const args = ['bud', ...options, `--build-arg=REVISION=${revision}`, '--tag', name, '--quiet', context]
  const output = await store.buildah(...args)
  return output.split('\n').at(-1) ?? ''
}
