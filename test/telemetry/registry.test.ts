import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { metrics, metricsOf } from '../../src/telemetry/metrics.ts'
import { observeInformer, observeLoop, observeRequests } from '../../src/telemetry/observers.ts'
import { createMetrics } from '../../src/telemetry/process.ts'
import { MetricsRegistry } from '../../src/telemetry/registry.ts'
import { version } from '../../src/telemetry/version.ts'

const samples = async (registry: MetricsRegistry, name: string) =>
  (await registry.text()).split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'))

describe('the list of metrics', () => {
  test.each(Object.entries(metrics))(
    '%s is named as its type and unit ask, and its query asks for it',
    (name, metric) => {
      const { type, help, query } = metric
      expect(name).toMatch(/^(vmsnapshot|process|nodejs)_[a-z_]+$/)
      expect(name.endsWith('_total')).toBe(type === 'counter')
      if (type === 'histogram') expect(name).toMatch(/_seconds$/)
      expect(help).toMatch(/^[A-Z0-9].*\.$/)
      expect(query).toContain(name)
    },
  )

  test('every kind of process has what the machinery tells, and nothing of the other kind', () => {
    const [agent = [], controller = []] = (['agent', 'controller'] as const).map((kind) =>
      metricsOf(kind).map(([name]) => name),
    )
    const shared = agent.filter((name) => controller.includes(name))
    expect(shared).toEqual(expect.arrayContaining(['vmsnapshot_reconciles_total', 'vmsnapshot_api_requests_total']))
    expect(agent).toContain('vmsnapshot_snapshots')
    expect(controller).not.toContain('vmsnapshot_snapshots')
    expect(controller).toContain('vmsnapshot_leading')
    expect(agent).not.toContain('vmsnapshot_leading')
  })
})

test('what is known beforehand is there from the start, at 0', async () => {
  const registry = new MetricsRegistry('agent')
  expect(await samples(registry, 'vmsnapshot_snapshots')).toContain('vmsnapshot_snapshots{state="deleting"} 0')
  expect(await samples(registry, 'vmsnapshot_removed_bytes_total')).toEqual(['vmsnapshot_removed_bytes_total 0'])
  expect(await samples(registry, 'vmsnapshot_reconciles_total')).toEqual([])
  observeLoop(registry, 'snapshots')
  const results = await samples(registry, 'vmsnapshot_reconciles_total')
  expect(results).toContain('vmsnapshot_reconciles_total{loop="snapshots",result="retried"} 0')
  expect(results).toHaveLength(5)
  expect(await samples(registry, 'vmsnapshot_reconcile_duration_seconds_count')).toEqual([
    'vmsnapshot_reconcile_duration_seconds_count{loop="snapshots"} 0',
  ])
})

test('lists and restarts of an informer are counted by what it watches', async () => {
  const registry = new MetricsRegistry('agent')
  const observer = observeInformer(registry, { plural: 'vmsnapshots' })
  observer.listed()
  observer.restarted('expired')
  expect(await samples(registry, 'vmsnapshot_informer_lists_total')).toEqual([
    'vmsnapshot_informer_lists_total{resource="vmsnapshots"} 1',
  ])
  const restarts = await samples(registry, 'vmsnapshot_informer_restarts_total')
  expect(restarts).toHaveLength(6)
  expect(restarts).toContain('vmsnapshot_informer_restarts_total{resource="vmsnapshots",reason="expired"} 1')
  expect(restarts).toContain('vmsnapshot_informer_restarts_total{resource="vmsnapshots",reason="failed"} 0')
})

test('requests are counted by verb and code, and a watch has no duration', async () => {
  const registry = new MetricsRegistry('controller')
  const observe = observeRequests(registry)
  observe('PATCH', 409, 1_500)
  observe('GET', 0, 10_000)
  observe('WATCH', 200, 300_000)
  expect(await samples(registry, 'vmsnapshot_api_requests_total')).toEqual([
    'vmsnapshot_api_requests_total{verb="PATCH",code="409"} 1',
    'vmsnapshot_api_requests_total{verb="GET",code="none"} 1',
    'vmsnapshot_api_requests_total{verb="WATCH",code="200"} 1',
  ])
  expect(await samples(registry, 'vmsnapshot_api_request_duration_seconds_sum')).toEqual([
    'vmsnapshot_api_request_duration_seconds_sum{verb="PATCH"} 1.5',
    'vmsnapshot_api_request_duration_seconds_sum{verb="GET"} 10',
  ])
})

test('values that somebody else holds are read at each scrape, and series that are over go', async () => {
  const registry = new MetricsRegistry('agent')
  let reasons = ['InUse', 'ClaimBelow']
  registry.onScrape(() => {
    registry.clear('vmsnapshot_deletions_blocked')
    for (const reason of reasons) registry.set('vmsnapshot_deletions_blocked', { reason }, 1)
  })
  expect(await samples(registry, 'vmsnapshot_deletions_blocked')).toHaveLength(2)
  reasons = []
  expect(await samples(registry, 'vmsnapshot_deletions_blocked')).toEqual([])
})

test('a metric of another kind of process is a mistake', () => {
  const registry = new MetricsRegistry('controller')
  expect(() => registry.set('vmsnapshot_storage_ready', {}, 1)).toThrow(RangeError)
})

test('a process tells its version, start, memory and processor time', async () => {
  const before = process.cpuUsage()
  const registry = createMetrics('agent')
  const text = await registry.text()
  const value = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
  expect(text).toContain(`vmsnapshot_build_info{version="${version}",node_version="${process.version}"} 1`)
  expect(value('process_cpu_seconds_total')).toBeGreaterThanOrEqual((before.user + before.system) / 1e6)
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000)
  expect(value('process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1000)
  expect(value('process_open_fds')).toBeGreaterThan(2)
  expect(value('nodejs_heap_size_used_bytes')).toBeGreaterThan(1_000_000)
  expect(value('nodejs_eventloop_utilization')).toBeLessThanOrEqual(1)
})

test('the version is that of package.json', () => {
  const manifest = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
  expect(JSON.parse(manifest).version).toBe(version)
})
