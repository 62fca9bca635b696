// The released program: the files of dist, without the modules that nothing of ours reaches. `node build/bundle.ts [DIRECTORY]`.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild'

const root = join(import.meta.dirname, '..')
const clientNode = join(root, 'node_modules', '@kubernetes', 'client-node', 'dist')

/** Processes and threads that start a file of their own name each, beside the one that starts them. */
const entries = [
  'src/main.ts',
  'src/snapshot/worker.ts',
  'src/snapshot/file-handle-worker.ts',
  'src/inspect/scan-process.ts',
]

/**
 * What libraries import and is never reached here, by package. Of @kubernetes/client-node: 757 generated models, its version, and an HTTP client
 * with its proxies, since requests are our own. Of pino: log transports, redaction and its own way to write to a file.
 * Of prom-client: whatever is no registry, counter, gauge or histogram. Of zod: JSON schemas, which build/generate.ts makes.
 */
const unreached: Readonly<Record<string, readonly string[]>> = {
  'client-node': ['./gen/index.js', '../package.json', 'undici', 'hpagent', 'socks', 'socks-proxy-agent'],
  pino: ['./transport', './lib/transport', './lib/multistream', '@pinojs/redact', 'sonic-boom', 'on-exit-leak-free'],
  'prom-client': [
    './lib/summary',
    './lib/pushgateway',
    './lib/defaultMetrics',
    './lib/cluster',
    './lib/metricAggregators',
  ],
  zod: ['../core/to-json-schema.js', '../core/json-schema-processors.js'],
}

/** Log-ins of @kubernetes/client-node that exec plug-ins have replaced: file -> class, and the name of its auth-provider in a kubeconfig. */
const logins: Readonly<Record<string, readonly [className: string, provider: string]>> = {
  './azure_auth.js': ['AzureAuth', 'azure'],
  './gcp_auth.js': ['GoogleCloudPlatformAuth', 'gcp'],
  './oidc_auth.js': ['OpenIDConnectAuth', 'oidc'],
}

/** Read for kubeconfig files only, which no Pod has: a file of its own, loaded when it is called. */
const yamlFile = 'js-yaml.cjs'
const lazyYaml = ['load', 'loadAll', 'dump']
  .map((name) => `export const ${name} = (...values) => require('./${yamlFile}').${name}(...values)`)
  .join('\n')

/** The same for what reads those files, and with it whatever of zod only that needs. */
const kubeconfigFile = 'kubeconfig.cjs'
const lazyKubeconfig = `export const kubeconfigLogin = (...values) => require('./${kubeconfigFile}').kubeconfigLogin(...values)`

const trimmed: Plugin = {
  name: 'trimmed',
  setup({ onResolve, onLoad }) {
    // Of the package nothing but KubeConfig is used; its index would bring everything along.
    onResolve({ filter: /^@kubernetes\/client-node$/ }, () => ({ path: join(clientNode, 'config.js') }))
    onResolve({ filter: /./ }, ({ path, importer }) => {
      const theirs = Object.entries(unreached).find(([name]) => importer.includes(`/${name}/`))
      if (theirs?.[1].includes(path)) return { path, namespace: 'unreached' }
      if (path in logins && importer.startsWith(clientNode)) return { path, namespace: 'login' }
      return path === 'js-yaml' ? { path, namespace: 'lazy' } : undefined
    })
    onResolve({ filter: /^\.\/kubeconfig-login\.ts$/ }, () => ({ path: kubeconfigFile, namespace: 'lazy' }))
    onResolve({ filter: /./, namespace: 'unreached' }, ({ path }) => ({ path, namespace: 'throwing' }))
    onLoad({ filter: /./, namespace: 'unreached' }, ({ path }) => ({
      contents: `module.exports = require('throwing')(${JSON.stringify(path)})`,
    }))
    onLoad({ filter: /./, namespace: 'throwing' }, () => ({ contents: throwing }))
    onLoad({ filter: /./, namespace: 'login' }, ({ path }) => ({ contents: refusing(...(logins[path] ?? ['', ''])) }))
    onLoad({ filter: /./, namespace: 'lazy' }, ({ path }) => ({
      contents: path === kubeconfigFile ? lazyKubeconfig : lazyYaml,
    }))
  },
}

/** Gives by its name a module that throws when it, or any name in it, is called, and that nothing is an instance of. */
const throwing = `module.exports = (path) => {
  function fail() { throw new Error(path + ' is not part of this program') }
  const names = { get: (_, name) => (typeof name === 'symbol' ? undefined : fail) }
  return Object.setPrototypeOf(fail, new Proxy({}, names))
}`

/** A log-in that knows its users and turns them away. */
function refusing(className: string, provider: string): string {
  const message = `auth-provider ${provider} of the kubeconfig is not part of this program; use an exec plug-in`
  return `export class ${className} {
    isAuthProvider({ authProvider }) { return authProvider?.name === ${JSON.stringify(provider)} }
    applyAuthentication() { throw new Error(${JSON.stringify(message)}) }
  }`
}

const common = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  // Node 24 has it, which esbuild does not know: what it would write instead is much longer.
  supported: { using: true },
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
} satisfies BuildOptions

/** Bytes by file name, without source maps. */
type Sizes = ReadonlyMap<string, number>

/** What an agent in a Pod loads. */
const agentEntries = ['src/main.ts', 'src/agent/run.ts', 'src/snapshot/worker.ts']

/**
 * Replaces `directory`; the sizes of all files, and of those that an agent in a Pod loads. `entryPoints`: of another program than the released one.
 * Throws esbuild's BuildFailure.
 */
export async function bundle(
  directory: string,
  entryPoints: string[] = entries,
): Promise<{ readonly all: Sizes; readonly agent: Sizes }> {
  rmSync(directory, { recursive: true, force: true })
  const program = await build({
    ...common,
    entryPoints,
    outdir: directory,
    entryNames: '[name]',
    splitting: true,
    sourcemap: 'linked',
    format: 'esm',
    external: [`./${yamlFile}`, `./${kubeconfigFile}`],
    plugins: [trimmed],
    // Some dependencies are CommonJS and require what Node brings.
    banner: { js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);" },
  })
  const yaml = await build({ ...common, entryPoints: ['js-yaml'], outfile: join(directory, yamlFile), format: 'cjs' })
  const kubeconfig = await build({
    ...common,
    entryPoints: ['src/kube/kubeconfig-login.ts'],
    outfile: join(directory, kubeconfigFile),
    format: 'cjs',
    external: [`./${yamlFile}`],
    plugins: [trimmed],
  })
  const all = { ...program.metafile.outputs, ...yaml.metafile.outputs, ...kubeconfig.metafile.outputs }
  return { all: sizesOf(Object.keys(all), all), agent: sizesOf(loadedBy(agentEntries, all), all) }
}

type Outputs = Metafile['outputs']

function sizesOf(files: Iterable<string>, outputs: Outputs): Sizes {
  const programs = [...files].filter((file) => /\.c?js$/.test(file))
  return new Map(programs.map((file) => [file, outputs[file]?.bytes ?? 0]))
}

/** The files of these sources and whatever they import, but for what is imported when it is asked for. */
function loadedBy(sources: readonly string[], outputs: Outputs): ReadonlySet<string> {
  const due = Object.keys(outputs).filter((file) => sources.includes(outputs[file]?.entryPoint ?? ''))
  const loaded = new Set<string>()
  for (let file = due.pop(); file !== undefined; file = due.pop()) {
    if (loaded.has(file)) continue
    loaded.add(file)
    const imports = outputs[file]?.imports ?? []
    due.push(
      ...imports.filter(({ kind, external }) => kind === 'import-statement' && !external).map(({ path }) => path),
    )
  }
  return loaded
}

if (import.meta.main) {
  const { all, agent } = await bundle(process.argv[2] ?? join(root, 'dist'))
  for (const [file, bytes] of all) console.log(`${String(bytes).padStart(8)} ${agent.has(file) ? '*' : ' '} ${file}`)
  console.log(`${Math.ceil(sum(agent) / 1024)} KiB are loaded by an agent in a Pod (*)`)
}

function sum(sizes: Sizes): number {
  return [...sizes.values()].reduce((total, bytes) => total + bytes, 0)
}
