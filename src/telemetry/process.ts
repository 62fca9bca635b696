// What any process of this program tells of itself: of the library's default metrics those that answer a question and cost nothing between scrapes.
import { readdirSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import type { ProcessKind } from './metrics.ts'
import { MetricsRegistry } from './registry.ts'
import { version } from './version.ts'

/** The metrics of a process of this kind, with those of the process itself. */
export function createMetrics(kind: ProcessKind): MetricsRegistry {
  const metrics = new MetricsRegistry(kind)
  metrics.set('vmsnapshot_build_info', { version, node_version: process.version }, 1)
  metrics.set('process_start_time_seconds', {}, performance.timeOrigin / 1000)
  let busy = performance.eventLoopUtilization()
  metrics.onScrape(() => {
    const { user, system } = process.cpuUsage()
    metrics.setTotal('process_cpu_seconds_total', (user + system) / 1e6)
    metrics.set('process_resident_memory_bytes', {}, process.memoryUsage.rss())
    metrics.set('nodejs_heap_size_used_bytes', {}, process.memoryUsage().heapUsed)
    metrics.set('process_open_fds', {}, openDescriptors())
    const now = performance.eventLoopUtilization()
    metrics.set('nodejs_eventloop_utilization', {}, performance.eventLoopUtilization(now, busy).utilization)
    busy = now
  })
  return metrics
}

/** Without the one that reads the list. */
function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length - 1
}
