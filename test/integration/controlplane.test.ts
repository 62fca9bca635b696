import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest'
import { controlPlaneBinaries } from '../controlplane/binaries.ts'
import { startControlPlane } from '../controlplane/control-plane.ts'
import { until } from '../support/until.ts'

const { binaries } = inject('coordinates')
const directory = mkdtempSync(join(tmpdir(), 'vmsnapshot-test-'))
afterAll(() => rmSync(directory, { recursive: true }))

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a control plane', () => {
  test('stands beside another, and leaves neither process nor directory', async () => {
    const [one, two] = await Promise.all([
      startControlPlane({ binaries }),
      startControlPlane({ binaries, audit: true }),
    ])
    expect(one.cluster.coordinates.server).not.toBe(two.cluster.coordinates.server)
    await two.cluster.kubectl(['create', 'namespace', 'only-here'])
    expect(await one.cluster.get('namespace', 'only-here')).toBeUndefined()
    expect(existsSync(two.auditLog)).toBe(true)
    const pids = [...one.pids, ...two.pids]
    expect(pids.length).toBe(6)
    await Promise.all([one.stop(), two.stop()])
    expect(pids.filter(isRunning)).toEqual([])
    expect([existsSync(one.directory), existsSync(two.directory)]).toEqual([false, false])
  })

  test('that fails to start says why and leaves nothing', async () => {
    const broken = join(directory, 'broken')
    rmSync(broken, { recursive: true, force: true })
    // Other tests start control planes in the machine's own directory for temporary files meanwhile.
    const own = join(directory, 'temporary')
    mkdirSync(own)
    vi.stubEnv('TMPDIR', own)
    onTestFinished(() => void vi.unstubAllEnvs())
    mkdirSync(broken)
    symlinkSync(join(binaries, 'etcd'), join(broken, 'etcd'))
    writeFileSync(join(broken, 'kube-apiserver'), '#!/bin/sh\necho no room for me >&2\nexit 1\n', { mode: 0o755 })
    await expect(startControlPlane({ binaries: broken })).rejects.toThrow(/kube-apiserver ended:\nno room for me/)
    expect(readdirSync(own)).toEqual([])
  })

  test('goes with its owner on Ctrl-C', async () => {
    const owner = spawn(process.execPath, [join(import.meta.dirname, '..', 'support', 'own-control-plane.ts')], {
      env: { ...process.env, KUBEBUILDER_ASSETS: binaries },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await Promise.race([
      new Promise<string[]>((resolve) => createInterface(owner.stdout).once('line', (text) => resolve([text]))),
      new Promise<never>((_, reject) => owner.once('exit', (code) => reject(new Error(`ended with ${code}`)))),
    ])
    const { pids, directory: left } = JSON.parse(line ?? '') as { pids: number[]; directory: string }
    expect(pids.every(isRunning)).toBe(true)
    owner.kill('SIGINT')
    await until(
      'all of it is gone',
      () => pids.filter(isRunning),
      (still) => still.length === 0,
    )
    expect(existsSync(left)).toBe(false)
  })
})

describe('controlPlaneBinaries()', () => {
  test('names what KUBEBUILDER_ASSETS lacks', async () => {
    const lacking = controlPlaneBinaries({ KUBEBUILDER_ASSETS: directory })
    await expect(lacking).rejects.toThrow(`KUBEBUILDER_ASSETS=${directory} lacks etcd, kube-apiserver`)
  })

  test('says what to do where there are neither programs nor Go', async () => {
    const without = controlPlaneBinaries({ PATH: directory, HOME: directory })
    await expect(without).rejects.toThrow(/install Go 1\.26 or newer, or set KUBEBUILDER_ASSETS/)
  })

  test('refuses a Go that is too old before it fetches anything', async () => {
    writeFileSync(join(directory, 'go'), '#!/bin/sh\necho go1.22.5\n', { mode: 0o755 })
    const old = controlPlaneBinaries({ PATH: directory, HOME: directory })
    await expect(old).rejects.toThrow('Go 1.26 or newer is needed to build the control plane, found go1.22.5')
    expect(readdirSync(directory)).not.toContain('.cache')
  })
})
