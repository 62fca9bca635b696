// Time as this room sees it, so that tests can bring their own.

export interface Clock {
  /** milliseconds on a monotonic clock */
  now(): number
  /** time of day: for what people and other programs read, never for measuring */
  date(): Date
  /** runs once after the delay; what it returns cancels it */
  after(delayMs: number, run: () => void): () => void
}

/** setTimeout takes a longer delay for none at all. */
const longestDelayMs = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, Math.min(delayMs, longestDelayMs))
    return () => clearTimeout(timer)
  },
}

/** Resolves after the delay, at once where there is none, or as soon as `signal` is aborted. */
export async function pause(delayMs: number, signal: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (signal.aborted || delayMs <= 0) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = () => resolve()
  const cancel = clock.after(delayMs, end)
  signal.addEventListener('abort', end, { once: true })
  await promise
  cancel()
  signal.removeEventListener('abort', end)
}

/** Settles as `work` does, or rejects with the signal's reason where that comes before; what becomes of `work` then, nobody hears. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, work])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
