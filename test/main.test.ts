import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'

const main = join(import.meta.dirname, '..', 'src', 'main.ts')
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-main-'))
afterAll(() => rmSync(directory, { recursive: true }))

function run(args: readonly string[], env: Record<string, string> = {}) {
  const options = { env: { LISTEN_ADDRESS: 'off', ...env }, encoding: 'utf8' } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], options)
  return { code: status, stdout, stderr, lines: stderr.trimEnd().split('\n').length }
}

function kubeconfig(server: string): string {
  const path = join(directory, 'kubeconfig')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }
  writeFileSync(path, JSON.stringify(config))
  return path
}

const settings = ['--node-name=node-1', '--base-dir=/srv/snapshots']

describe('a mistake on the command line is named in one line', () => {
  const cases: readonly [string, readonly string[], RegExp][] = [
    ['an unknown subcommand', ['agnet'], /unknown subcommand "agnet"; there is agent/],
    ['an unknown flag', ['agent', ...settings, '--basedir=/x'], /unknown flag --basedir; the flags are .*--base-dir/],
    ['a stray argument', ['agent', ...settings, 'now'], /unexpected argument now/],
    ['a flag without a value', ['agent', '--node-name'], /--node-name needs a value/],
    ['a missing setting', ['agent', '--node-name=node-1'], /--base-dir \(or BASE_DIR\) is not set/],
    [
      'a relative base directory',
      ['agent', '--node-name=n', '--base-dir=snapshots'],
      /--base-dir: "snapshots" is not allowed/,
    ],
    [
      'the root as base directory',
      ['agent', '--node-name=n', '--base-dir=/'],
      /expected an absolute path other than \//,
    ],
    [
      'a wrong duration',
      ['agent', ...settings, '--rescan-interval=30'],
      /--rescan-interval: "30" is not allowed, expected a duration/,
    ],
    [
      'an address without a port',
      ['agent', ...settings, '--listen-address=localhost'],
      /--listen-address: "localhost"/,
    ],
    ['a port that is none', ['agent', ...settings, '--listen-address=:65536'], /expected \[host\]:port .*, or off/],
    [
      'a Lease for half a second more',
      ['controller', '--lease-duration=3500ms'],
      /expected a duration of whole seconds/,
    ],
    ['a kubeconfig that is not there', ['agent', ...settings, '--kubeconfig=/nowhere'], /\/nowhere/],
  ]
  test.each(cases)('%s', (_, args, message) => {
    const { code, stderr, stdout, lines } = run(args)
    expect(stderr).toMatch(message)
    expect({ lines, stdout, isError: code !== 0 && code !== null }).toEqual({ lines: 1, stdout: '', isError: true })
  })

  test('settings from the environment are checked in the same way', () => {
    expect(run(['agent'], { NODE_NAME: 'Node 1', BASE_DIR: '/srv' }).stderr).toMatch(
      /^vmsnapshot agent: NODE_NAME: "Node 1" is not allowed/,
    )
  })

  test('an address that is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const flags = ['--kubeconfig', kubeconfig('https://127.0.0.1:9'), `--listen-address=127.0.0.1:${port}`]
    const { code, stderr, lines } = run(['agent', ...settings, ...flags])
    server.close()
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${port} (EADDRINUSE); --listen-address (or LISTEN_ADDRESS)`)
    expect({ code, lines }).toEqual({ code: 1, lines: 1 })
  })

  test('a server that cannot be reached', () => {
    const { code, stderr, lines } = run(['agent', ...settings, '--kubeconfig', kubeconfig('https://127.0.0.1:9')])
    expect(stderr).toContain('ECONNREFUSED 127.0.0.1:9')
    expect({ code, lines }).toEqual({ code: 1, lines: 1 })
  })
})

test('help lists the subcommands and their settings', () => {
  expect(run(['--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('agent') })
  expect(run(['agent', '--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('--require-mount-point') })
})
