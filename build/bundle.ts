// The released program: the files of dist, without the modules that nothing of ours reaches. `node build/bundle.ts [DIRECTORY]`.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'

const root = join(import.meta.dirname, '..')
const clientNode = join(root, 'node_modules', '@kubernetes', 'client-node', 'dist')

/** Processes and threads that start a file of their own name each, beside the one that starts them. */
const entries = ['src/main.ts', 'src/snapshot/worker.ts', 'src/inspect/scan-process.ts']

/**
 * What libraries import and is never reached here, so that each name may throw. Of @kubernetes/client-node: 757 generated models, an HTTP
 * client with its proxies, since requests are our own, and the log-ins of clouds that exec plug-ins have replaced. Of pino: log transports.
 */
const unreached: Readonly<Record<string, readonly string[]>> = {
  './gen/index.js': ['createConfiguration', 'ServerConfiguration'],
  undici: ['Agent', 'ProxyAgent'],
  hpagent: ['HttpProxyAgent', 'HttpsProxyAgent'],
  socks: ['SocksClient'],
  'socks-proxy-agent': ['SocksProxyAgent'],
  'openid-client': ['Configuration', 'discovery', 'refreshTokenGrant', 'allowInsecureRequests', 'customFetch'],
  'jsonpath-plus': ['JSONPath'],
  'thread-stream': ['default'],
}

/** Read for kubeconfig files only, which no Pod has: a file of its own, loaded when it is called. */
const yamlFile = 'js-yaml.cjs'
const lazyYaml = ['load', 'loadAll', 'dump']
  .map((name) => `export const ${name} = (...values) => require('./${yamlFile}').${name}(...values)`)
  .join('\n')

const trimmed: Plugin = {
  name: 'trimmed',
  setup({ onResolve, onLoad }) {
    // Of the package nothing but KubeConfig is used; its index would bring everything along.
    onResolve({ filter: /^@kubernetes\/client-node$/ }, () => ({ path: join(clientNode, 'config.js') }))
    onResolve({ filter: /./ }, ({ path, importer }) => {
      const isTheirs = importer.includes('client-node') || importer.includes('pino')
      if (isTheirs && Object.hasOwn(unreached, path)) return { path, namespace: 'unreached' }
      return isTheirs && path === 'js-yaml' ? { path, namespace: 'lazy' } : undefined
    })
    onLoad({ filter: /./, namespace: 'unreached' }, ({ path }) => ({ contents: throwing(path) }))
    onLoad({ filter: /./, namespace: 'lazy' }, () => ({ contents: lazyYaml }))
  },
}

function throwing(path: string): string {
  const body = `{ throw new Error(${JSON.stringify(`${path} is not part of this program`)}) }`
  return (unreached[path] ?? [])
    .map((name) => (name === 'default' ? `export default function () ${body}` : `export function ${name}() ${body}`))
    .join('\n')
}

const common = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
} satisfies BuildOptions

/** Replaces `directory`; sizes in bytes by file name, without source maps. Throws esbuild's BuildFailure. */
export async function bundle(directory: string): Promise<ReadonlyMap<string, number>> {
  rmSync(directory, { recursive: true, force: true })
  const program = await build({
    ...common,
    entryPoints: entries,
    outdir: directory,
    entryNames: '[name]',
    splitting: true,
    sourcemap: 'linked',
    format: 'esm',
    external: [`./${yamlFile}`],
    plugins: [trimmed],
    // Some dependencies are CommonJS and require what Node brings.
    banner: { js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);" },
  })
  const yaml = await build({ ...common, entryPoints: ['js-yaml'], outfile: join(directory, yamlFile), format: 'cjs' })
  const outputs = Object.entries({ ...program.metafile.outputs, ...yaml.metafile.outputs })
  return new Map(outputs.filter(([file]) => /\.c?js$/.test(file)).map(([file, { bytes }]) => [file, bytes]))
}

if (import.meta.main) {
  const files = await bundle(process.argv[2] ?? join(root, 'dist'))
  for (const [file, bytes] of files) console.log(`${String(bytes).padStart(8)} ${file}`)
  const inCluster = [...files].filter(([file]) => !file.endsWith(yamlFile)).reduce((sum, [, bytes]) => sum + bytes, 0)
  console.log(`${Math.ceil(inCluster / 1024)} KiB without ${yamlFile}`)
}
