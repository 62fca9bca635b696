// The metrics of one process, made from the list: whoever measures names a metric and cannot mistake its labels.
// Values that somebody else holds are read when they are asked for, not kept in step by events.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  knownLabels,
  type LabelsOf,
  type MetricName,
  metrics,
  metricsOf,
  type ProcessKind,
} from './metrics.ts'

export class MetricsRegistry {
  readonly #registry = new Registry()
  readonly #counters = new Map<string, Counter>()
  readonly #gauges = new Map<string, Gauge>()
  readonly #histograms = new Map<string, Histogram>()
  readonly #onScrape: (() => void)[] = []

  constructor(kind: ProcessKind) {
    for (const [name, { type, help, labels, buckets }] of metricsOf(kind)) {
      const labelNames = Object.keys(labels)
      const options = { name, help, labelNames, registers: [this.#registry] }
      if (type === 'counter') this.#counters.set(name, new Counter(options))
      else if (type === 'gauge') this.#gauges.set(name, new Gauge(options))
      else this.#histograms.set(name, new Histogram({ ...options, ...(buckets ? { buckets: [...buckets] } : {}) }))
      this.initialise(name, {})
    }
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Makes every series of a metric whose labels are known with `given`, at 0: a rate over what has not happened yet is 0, not nothing. */
  initialise<Name extends MetricName>(name: Name, given: Partial<LabelsOf<Name>>): void {
    for (const labels of knownLabels(metrics[name], given as Readonly<Record<string, string>>)) {
      this.#counters.get(name)?.inc(labels, 0)
      this.#gauges.get(name)?.set(labels, 0)
      this.#histograms.get(name)?.zero(labels)
    }
  }

  increment<Name extends CounterName>(name: Name, labels: LabelsOf<Name>, by = 1): void {
    one(this.#counters, name).inc({ ...labels }, by)
  }

  /** A counter without labels that somebody else counts: its value is `total` from now on. */
  setTotal(name: CounterName, total: number): void {
    const counter = one(this.#counters, name)
    counter.reset()
    counter.inc(total)
  }

  set<Name extends GaugeName>(name: Name, labels: LabelsOf<Name>, value: number): void {
    one(this.#gauges, name).set({ ...labels }, value)
  }

  /** Forgets every series of a gauge, before those that there are now are set. */
  clear(name: GaugeName): void {
    one(this.#gauges, name).reset()
  }

  observe<Name extends HistogramName>(name: Name, labels: LabelsOf<Name>, seconds: number): void {
    one(this.#histograms, name).observe({ ...labels }, seconds)
  }

  /** `read` sets the values that it knows; it is called before each answer. */
  onScrape(read: () => void): void {
    this.#onScrape.push(read)
  }

  /** All of it in the text format of Prometheus. */
  text(): Promise<string> {
    for (const read of this.#onScrape) read()
    return this.#registry.metrics()
  }
}

function one<T>(metrics: ReadonlyMap<string, T>, name: string): T {
  const found = metrics.get(name)
  if (found === undefined) throw new RangeError(`${name} is no metric of this process`)
  return found
}
