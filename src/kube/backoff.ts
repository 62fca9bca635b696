// Exponential back-off with jitter, so that many clients do not come back in step.

export interface BackoffLimits {
  readonly initialMs: number
  readonly maximumMs: number
}

/** Delay before attempt `failures + 1`: doubled with each failure up to the maximum, then 75 to 125 % of that. */
export function backoffMs(
  failures: number,
  { initialMs, maximumMs }: BackoffLimits,
  random: () => number = Math.random,
): number {
  const delayMs = Math.min(maximumMs, initialMs * 2 ** Math.min(Math.max(0, failures - 1), 30))
  return delayMs * (0.75 + random() * 0.5)
}
