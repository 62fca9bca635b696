// Every metric that a process of this program tells, by name. Registries and docs/metrics.md are made from this list, and nothing else makes
// metrics. No label takes its values from names of snapshots, so that the number of series does not grow with them. Pure.

export type ProcessKind = 'agent' | 'controller'

interface Metric {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** of each label all its values, which are there at 0 from the start; or, where they are not known beforehand, what they are */
  readonly labels: Readonly<Record<string, readonly string[] | string>>
  /** a query that somebody would ask, PromQL */
  readonly query: string
  /** upper bounds of a histogram, in seconds */
  readonly buckets?: readonly number[]
  /** undefined: every process */
  readonly only?: ProcessKind
}

const loop = 'which loop of the process'
const resource = 'what is watched, in the plural'
const requestBuckets = [0.005, 0.02, 0.1, 0.5, 2, 10, 30]

export const metrics = {
  vmsnapshot_snapshots: {
    type: 'gauge',
    only: 'agent',
    help: 'VMSnapshots of the node by what their condition Ready says; unreported: the agent has not said anything yet.',
    labels: { state: ['ready', 'not_ready', 'unknown', 'deleting', 'unreported'] },
    query: 'sum by (state) (vmsnapshot_snapshots)',
  },
  vmsnapshot_directories: {
    type: 'gauge',
    only: 'agent',
    help: 'Directories below the base directory: claimed and unclaimed snapshots, removals that are not finished, and what cannot be read.',
    labels: { kind: ['claimed', 'unclaimed', 'trash', 'unreadable'] },
    query: 'vmsnapshot_directories{kind="unclaimed"} > 0',
  },
  vmsnapshot_directory_bytes: {
    type: 'gauge',
    only: 'agent',
    help: 'Their disk usage: blocks times 512, a file with several names once.',
    labels: { kind: ['claimed', 'unclaimed', 'trash'] },
    query: 'topk(5, vmsnapshot_directory_bytes{kind="unclaimed"})',
  },
  vmsnapshot_trash_leftovers: {
    type: 'gauge',
    only: 'agent',
    help: 'Entries of .vmsnapshot that stay until a person acts; failed: a removal, or the way back, fails; unnamed: a directory that is kept, its name is not known; foreign: not made by the agent. StorageReady names them.',
    labels: { kind: ['failed', 'unnamed', 'foreign'] },
    query: 'sum by (kind) (vmsnapshot_trash_leftovers) > 0',
  },
  vmsnapshot_inventory_timestamp_seconds: {
    type: 'gauge',
    only: 'agent',
    help: 'When directories and their bytes were counted last; Unix time, 0 before the first time.',
    labels: {},
    query: 'time() - vmsnapshot_inventory_timestamp_seconds > 3600',
  },
  vmsnapshot_storage_ready: {
    type: 'gauge',
    only: 'agent',
    help: '1 while the base directory is the one on record and can be read, else 0.',
    labels: {},
    query: 'vmsnapshot_storage_ready == 0',
  },
  vmsnapshot_storage_checked_timestamp_seconds: {
    type: 'gauge',
    only: 'agent',
    help: 'When the base directory was last looked at, whatever came out; Unix time, 0 before the first look.',
    labels: {},
    query: 'time() - vmsnapshot_storage_checked_timestamp_seconds > 300',
  },
  vmsnapshot_file_system_size_bytes: {
    type: 'gauge',
    only: 'agent',
    help: 'Size of the file system of the base directory.',
    labels: {},
    query: '1 - vmsnapshot_file_system_available_bytes / vmsnapshot_file_system_size_bytes > 0.9',
  },
  vmsnapshot_file_system_available_bytes: {
    type: 'gauge',
    only: 'agent',
    help: 'Bytes of it that are free for ordinary users.',
    labels: {},
    query: 'predict_linear(vmsnapshot_file_system_available_bytes[6h], 86400) < 0',
  },
  vmsnapshot_file_system_inodes: {
    type: 'gauge',
    only: 'agent',
    help: 'Inodes of the file system of the base directory; 0 where it makes them as needed.',
    labels: {},
    query: 'vmsnapshot_file_system_inodes',
  },
  vmsnapshot_file_system_available_inodes: {
    type: 'gauge',
    only: 'agent',
    help: 'Inodes of it that are free.',
    labels: {},
    query: 'vmsnapshot_file_system_available_inodes / vmsnapshot_file_system_inodes < 0.1',
  },
  vmsnapshot_deletions_in_flight: {
    type: 'gauge',
    only: 'agent',
    help: 'VMSnapshots of the node that are being deleted.',
    labels: {},
    query: 'sum(vmsnapshot_deletions_in_flight)',
  },
  vmsnapshot_deletion_oldest_age_seconds: {
    type: 'gauge',
    only: 'agent',
    help: 'How long ago the oldest of them was deleted; 0 while there is none.',
    labels: {},
    query: 'vmsnapshot_deletion_oldest_age_seconds > 600',
  },
  vmsnapshot_deletions_blocked: {
    type: 'gauge',
    only: 'agent',
    help: 'Those of them that something holds up, by the reason of their condition DeletionBlocked.',
    labels: { reason: 'a reason of docs/reasons.md, while a deletion has it' },
    query: 'sum by (reason) (vmsnapshot_deletions_blocked)',
  },
  vmsnapshot_removals_total: {
    type: 'counter',
    only: 'agent',
    help: 'Attempts to take a directory away, by how they ended; absent: there was none.',
    labels: { outcome: ['removed', 'absent', 'withdrawn', 'stopped', 'expired', 'blocked', 'unknown'] },
    query: 'sum by (outcome) (increase(vmsnapshot_removals_total[1h]))',
  },
  vmsnapshot_removal_duration_seconds: {
    type: 'histogram',
    only: 'agent',
    help: 'Time of an attempt, from the rename to the proof.',
    labels: {},
    query: 'histogram_quantile(0.99, sum by (le) (rate(vmsnapshot_removal_duration_seconds_bucket[1h])))',
    buckets: [0.05, 0.5, 5, 60, 600, 3600],
  },
  vmsnapshot_removed_bytes_total: {
    type: 'counter',
    only: 'agent',
    help: 'Disk usage of what was removed.',
    labels: {},
    query: 'sum(increase(vmsnapshot_removed_bytes_total[1d]))',
  },
  vmsnapshot_inspections_total: {
    type: 'counter',
    only: 'agent',
    help: 'Looks at a snapshot directory, by what was there; unknown: it could not be read.',
    labels: { result: ['directory', 'absent', 'notADirectory', 'unknown'] },
    query: 'rate(vmsnapshot_inspections_total{result="unknown"}[5m]) > 0',
  },
  vmsnapshot_inspection_duration_seconds: {
    type: 'histogram',
    only: 'agent',
    help: 'Time of a look, with the time that it waited for its turn.',
    labels: {},
    query: 'histogram_quantile(0.99, sum by (le) (rate(vmsnapshot_inspection_duration_seconds_bucket[5m])))',
    buckets: [0.0005, 0.002, 0.01, 0.05, 0.25, 1, 5, 20],
  },
  vmsnapshot_unwatched_directories: {
    type: 'gauge',
    only: 'agent',
    help: 'Directories that the kernel refuses to watch, as when inotify is exhausted: the rescan alone tells of their changes.',
    labels: {},
    query: 'vmsnapshot_unwatched_directories > 0',
  },
  vmsnapshot_leading: {
    type: 'gauge',
    only: 'controller',
    help: '1 while this process leads, 0 while it stands by.',
    labels: {},
    query: 'sum(vmsnapshot_leading) != 1',
  },
  vmsnapshot_nodes: {
    type: 'gauge',
    only: 'controller',
    help: 'Nodes that have a VMSnapshotNode or are named by a VMSnapshot, by what has become of them.',
    labels: { state: ['ready', 'notReady', 'agentMissing', 'absent', 'outOfService', 'gone'] },
    query: 'max by (state) (vmsnapshot_nodes{state!="ready"}) > 0',
  },
  vmsnapshot_sets: {
    type: 'gauge',
    only: 'controller',
    help: 'VMSnapshotSets by what their condition Ready says; unreported: nothing yet.',
    labels: { state: ['ready', 'not_ready', 'deleting', 'unreported'] },
    query: 'max by (state) (vmsnapshot_sets)',
  },
  vmsnapshot_set_copies: {
    type: 'gauge',
    only: 'controller',
    help: 'Copies of all sets, as their statuses count them.',
    labels: { state: ['desired', 'exists', 'ready'] },
    query: 'max(vmsnapshot_set_copies{state="desired"}) - max(vmsnapshot_set_copies{state="ready"})',
  },
  vmsnapshot_abandoned_total: {
    type: 'counter',
    only: 'controller',
    help: 'Deleted VMSnapshots that were let go because their node was gone: their directories stay wherever its disk is.',
    labels: {},
    query: 'increase(vmsnapshot_abandoned_total[1d]) > 0',
  },
  vmsnapshot_reconciles_total: {
    type: 'counter',
    help: 'Passes over a key by how they ended; forgotten: their time was over; failed: they would fail however often they are made.',
    labels: { loop, result: ['done', 'requeued', 'retried', 'forgotten', 'failed'] },
    query: 'sum by (loop) (rate(vmsnapshot_reconciles_total{result="retried"}[5m]))',
  },
  vmsnapshot_reconcile_duration_seconds: {
    type: 'histogram',
    help: 'Time of a pass.',
    labels: { loop },
    query: 'histogram_quantile(0.99, sum by (le, loop) (rate(vmsnapshot_reconcile_duration_seconds_bucket[5m])))',
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
  },
  vmsnapshot_longest_pass_seconds: {
    type: 'gauge',
    help: 'How long the pass that is longest under way has taken by now; 0 while there is none.',
    labels: { loop },
    query: 'vmsnapshot_longest_pass_seconds > 300',
  },
  vmsnapshot_queue_depth: {
    type: 'gauge',
    help: 'Keys that wait for a worker.',
    labels: { loop },
    query: 'vmsnapshot_queue_depth > 100',
  },
  vmsnapshot_queue_adds_total: {
    type: 'counter',
    help: 'Keys that began to wait for a pass, each once however often it was asked for meanwhile.',
    labels: { loop },
    query: 'sum by (loop) (rate(vmsnapshot_queue_adds_total[5m]))',
  },
  vmsnapshot_queue_wait_seconds: {
    type: 'histogram',
    help: 'Time from there to the beginning of the pass.',
    labels: { loop },
    query: 'histogram_quantile(0.99, sum by (le, loop) (rate(vmsnapshot_queue_wait_seconds_bucket[5m])))',
    buckets: [0.001, 0.01, 0.1, 1, 10, 60],
  },
  vmsnapshot_api_requests_total: {
    type: 'counter',
    help: 'Requests to the API server.',
    labels: { verb: 'GET, POST, PUT, PATCH, DELETE or WATCH', code: 'HTTP status, or none where no answer came' },
    query: 'sum by (code) (rate(vmsnapshot_api_requests_total{code!~"2.."}[5m]))',
  },
  vmsnapshot_api_request_duration_seconds: {
    type: 'histogram',
    help: 'Time of a request; of a watch it is how long it stayed open, so that watches are left out.',
    labels: { verb: 'GET, POST, PUT, PATCH or DELETE' },
    query: 'histogram_quantile(0.99, sum by (le, verb) (rate(vmsnapshot_api_request_duration_seconds_bucket[5m])))',
    buckets: requestBuckets,
  },
  vmsnapshot_denied_writes_total: {
    type: 'counter',
    help: 'Writes that the API server denied: by RBAC, a quota, an admission policy, or because a webhook is down. Retried every few seconds.',
    labels: { resource: 'what is written, in the plural, with its subresource', verb: 'POST, PUT, PATCH or DELETE' },
    query: 'sum by (resource, verb) (increase(vmsnapshot_denied_writes_total[10m])) > 0',
  },
  vmsnapshot_denied_objects: {
    type: 'gauge',
    help: 'VMSnapshots, copies and sets that wait because the API server denies a write of them. In a controller, of its term as leader.',
    labels: {},
    query: 'vmsnapshot_denied_objects > 0',
  },
  vmsnapshot_informer_lists_total: {
    type: 'counter',
    help: 'Times that an informer was told all that there is, as initial events of a watch or in pages.',
    labels: { resource },
    query: 'rate(vmsnapshot_informer_lists_total[15m]) > 0.01',
  },
  vmsnapshot_informer_restarts_total: {
    type: 'counter',
    help: 'Watches that ended, and lists or watches that did not begin; ended: after minutes, as they should; expired: the API server has forgotten where it was to go on; failed: half an answer or none.',
    labels: { resource, reason: ['ended', 'endedAtOnce', 'expired', 'throttled', 'refused', 'failed'] },
    query: 'sum by (resource, reason) (increase(vmsnapshot_informer_restarts_total{reason!="ended"}[15m])) > 10',
  },
  vmsnapshot_unparsable_objects: {
    type: 'gauge',
    help: 'Objects that this process cannot read, or not whole; the log names each once a version.',
    labels: { resource },
    query: 'max by (resource) (vmsnapshot_unparsable_objects) > 0',
  },
  vmsnapshot_events_total: {
    type: 'counter',
    help: 'Events for people, by what became of them; counted: told as a repeat; limited: left out, there were too many; lost: refused, or nobody to be told.',
    labels: { outcome: ['created', 'counted', 'limited', 'lost'] },
    query: 'increase(vmsnapshot_events_total{outcome="lost"}[1h]) > 0',
  },
  vmsnapshot_build_info: {
    type: 'gauge',
    help: 'Always 1; its labels say what runs.',
    labels: { version: 'of this program', node_version: 'of Node.js' },
    query: 'count by (version) (vmsnapshot_build_info)',
  },
  process_cpu_seconds_total: {
    type: 'counter',
    help: 'Processor time of the process, user and system.',
    labels: {},
    query: 'rate(process_cpu_seconds_total[5m])',
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory of the process.',
    labels: {},
    query: 'process_resident_memory_bytes',
  },
  process_start_time_seconds: {
    type: 'gauge',
    help: 'When the process started, Unix time.',
    labels: {},
    query: 'changes(process_start_time_seconds[1h]) > 3',
  },
  process_open_fds: {
    type: 'gauge',
    help: 'Open file descriptors of the process.',
    labels: {},
    query: 'process_open_fds',
  },
  nodejs_heap_size_used_bytes: {
    type: 'gauge',
    help: 'JavaScript heap of the main thread in use.',
    labels: {},
    query: 'nodejs_heap_size_used_bytes',
  },
  nodejs_eventloop_utilization: {
    type: 'gauge',
    help: 'Share of the time since the last scrape in which the main thread was busy, 0 to 1.',
    labels: {},
    query: 'nodejs_eventloop_utilization > 0.8',
  },
} as const satisfies Readonly<Record<string, Metric>>

type Metrics = typeof metrics
export type MetricName = keyof Metrics
type OfType<Type extends Metric['type']> = {
  [Name in MetricName]: Metrics[Name]['type'] extends Type ? Name : never
}[MetricName]
export type CounterName = OfType<'counter'>
export type GaugeName = OfType<'gauge'>
export type HistogramName = OfType<'histogram'>

type LabelsIn<Name extends MetricName> = Metrics[Name]['labels']
export type LabelsOf<Name extends MetricName> = {
  readonly [Label in keyof LabelsIn<Name>]: LabelsIn<Name>[Label] extends readonly (infer Value extends string)[]
    ? Value
    : string
}

/** The metrics of one kind of process. */
export function metricsOf(kind: ProcessKind): readonly (readonly [name: MetricName, metric: Metric])[] {
  const all = Object.entries(metrics) as [MetricName, Metric][]
  return all.filter(([, { only }]) => only === undefined || only === kind)
}

/** Every combination of label values that is known beforehand, `given` the others. None where a label is left open. */
export function knownLabels({ labels }: Metric, given: Readonly<Record<string, string>>) {
  let combinations: Readonly<Record<string, string>>[] = [{}]
  for (const [label, known] of Object.entries(labels)) {
    const value = given[label]
    const values = value !== undefined ? [value] : typeof known === 'string' ? [] : known
    combinations = combinations.flatMap((before) => values.map((one) => ({ ...before, [label]: one })))
  }
  return combinations
}
