// The observers that the machinery offers, told as metrics. `run` of each process joins them.
import type { Method, RequestObserver } from '../kube/connection.ts'
import type { Controller, ControllerObserver } from '../kube/controller.ts'
import type { EventObserver } from '../kube/events.ts'
import type { InformerObserver } from '../kube/informer.ts'
import type { MetricsRegistry } from './registry.ts'

export function observeRequests(metrics: MetricsRegistry): RequestObserver {
  return (verb, code, durationMs) => {
    metrics.increment('vmsnapshot_api_requests_total', { verb, code: code === 0 ? 'none' : String(code) })
    if (verb !== 'WATCH') metrics.observe('vmsnapshot_api_request_duration_seconds', { verb }, durationMs / 1000)
  }
}

/** The resource in the path of a request, without names: `vmsnapshots/status`. */
export function resourceOf(path: string): string {
  const [root, ...rest] = path.split('/').slice(1)
  const words = rest.slice(root === 'api' ? 1 : 2)
  const [resource = '', , subresource] = words[0] === 'namespaces' && words.length > 2 ? words.slice(2) : words
  return subresource === undefined ? resource : `${resource}/${subresource}`
}

export function observeDenials(metrics: MetricsRegistry): (method: Method, path: string) => void {
  return (verb, path) => metrics.increment('vmsnapshot_denied_writes_total', { verb, resource: resourceOf(path) })
}

export function observeInformer(
  metrics: MetricsRegistry,
  { plural: resource }: { readonly plural: string },
): InformerObserver {
  metrics.initialise('vmsnapshot_informer_lists_total', { resource })
  metrics.initialise('vmsnapshot_informer_restarts_total', { resource })
  return {
    listed: () => metrics.increment('vmsnapshot_informer_lists_total', { resource }),
    restarted: (reason) => metrics.increment('vmsnapshot_informer_restarts_total', { resource, reason }),
  }
}

export function observeLoop(metrics: MetricsRegistry, loop: string): ControllerObserver {
  metrics.initialise('vmsnapshot_reconciles_total', { loop })
  metrics.initialise('vmsnapshot_reconcile_duration_seconds', { loop })
  metrics.initialise('vmsnapshot_queue_adds_total', { loop })
  metrics.initialise('vmsnapshot_queue_wait_seconds', { loop })
  return {
    added: () => metrics.increment('vmsnapshot_queue_adds_total', { loop }),
    taken: (waitedMs) => metrics.observe('vmsnapshot_queue_wait_seconds', { loop }, waitedMs / 1000),
    reconciled: (result, durationMs) => {
      metrics.increment('vmsnapshot_reconciles_total', { loop, result })
      metrics.observe('vmsnapshot_reconcile_duration_seconds', { loop }, durationMs / 1000)
    },
  }
}

/** What a loop can only be asked for. `current`: undefined while none runs. */
export function tellLoopAtScrape(
  metrics: MetricsRegistry,
  loop: string,
  current: () => Pick<Controller, 'queueLength' | 'longestPassMs'> | undefined,
): void {
  metrics.onScrape(() => {
    const { queueLength = 0, longestPassMs = 0 } = current() ?? {}
    metrics.set('vmsnapshot_queue_depth', { loop }, queueLength)
    metrics.set('vmsnapshot_longest_pass_seconds', { loop }, longestPassMs / 1000)
  })
}

export function observeEvents(metrics: MetricsRegistry): EventObserver {
  return (outcome) => metrics.increment('vmsnapshot_events_total', { outcome })
}

export function tellUnparsableAtScrape(
  metrics: MetricsRegistry,
  { plural: resource }: { readonly plural: string },
  { store }: { readonly store: { readonly unparsableCount: number } },
): void {
  metrics.onScrape(() => metrics.set('vmsnapshot_unparsable_objects', { resource }, store.unparsableCount))
}
