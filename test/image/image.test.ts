// The image that the Dockerfile builds: what is in it and what is not, the same bytes each time, and that its program works in it.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { version } from '../../src/telemetry/version.ts'
import { writeSnapshot } from '../support/sample-snapshots.ts'
import { buildImage, ImageStore, whyNoImages } from './image.ts'
import { run } from './shell.ts'

const name = 'localhost/vmsnapshot-operator:test'
const revision = '0123456789abcdef0123456789abcdef01234567'
const whyNot = await whyNoImages()
if (whyNot !== undefined) console.warn(`SKIPPED: no image is built: ${whyNot}`)

describe.skipIf(whyNot !== undefined)('the image', () => {
  let store: ImageStore
  let id: string
  let container: string
  let root: string
  beforeAll(async () => {
    store = new ImageStore()
    id = await buildImage(store, name, revision)
    container = await store.buildah('from', '--pull-never', name)
    root = await store.buildah('mount', container)
  }, 600_000)
  afterAll(() => store?.buildah('rm', container))

  test('is the same, byte by byte, when it is built again', async () => {
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(await buildImage(store, name, revision)).toBe(id)
  }, 300_000)

  test('says what it is, and runs as nobody in particular', async () => {
    const { OCIv1: image } = JSON.parse(await store.buildah('inspect', '--type=image', name))
    expect(image.config).toMatchObject({
      User: '65532:65532',
      Entrypoint: ['/nodejs/bin/node', '/app/main.js'],
      Labels: {
        'org.opencontainers.image.title': 'vmsnapshot-operator',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.revision': revision,
        'org.opencontainers.image.licenses': 'Apache-2.0',
      },
    })
  })

  test('holds the program, and neither shell nor npm nor sources', () => {
    const files = readdirSync(join(root, 'app'))
    expect(files).toContain('LICENSE')
    expect(files.filter((file) => !/^(LICENSE|.*\.(c?js|LEGAL\.txt))$/.test(file))).toEqual([])
    const everything = readdirSync(root, { recursive: true, encoding: 'utf8' })
    expect(everything.filter((path) => /(^|\/)(sh|bash|dash|busybox|npm|npx|node_modules)$/.test(path))).toEqual([])
    const bytes = files.reduce((sum, file) => sum + statSync(join(root, 'app', file)).size, 0)
    console.log(`/app: ${Math.round(bytes / 1024)} KiB`)
    expect(bytes).toBeLessThan(1024 * 1024)
  })

  test('inspects a snapshot as a user without rights', async () => {
    writeSnapshot(join(root, 'data'), 'snap')
    const program = ['/nodejs/bin/node', '/app/main.js', 'inspect', '/data', 'snap', '-o', 'json', '--settle-time=0s']
    const said = await store.buildah('run', '--isolation=chroot', '--user=65532', container, '--', ...program)
    expect(JSON.parse(said)).toMatchObject({ name: 'snap', restorable: true })
  })

  test('starts as agent and as controller, and says how quickly', async () => {
    const size = await store.buildah('images', '--format={{.Size}}', name)
    const agentMs = await medianStartMs('agent')
    const controllerMs = await medianStartMs('controller')
    console.log(
      `image of ${size.split('\n')[0]}; all that an agent loads is loaded after ${agentMs} ms, a controller ${controllerMs} ms (median of 5)`,
    )
  })

  async function medianStartMs(subcommand: string): Promise<number> {
    const tookMs: number[] = []
    for (let round = 0; round < 5; round++) {
      const startedAt = performance.now()
      await run('chroot', [root, '/nodejs/bin/node', '/app/main.js', subcommand, '--help'])
      tookMs.push(performance.now() - startedAt)
    }
    return Math.round(tookMs.toSorted((a, b) => a - b)[2] ?? 0)
  }
})
