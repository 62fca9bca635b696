// How often an informer may ask again in some time, from what its contract says of its pauses. Pure.

/** 200 ms less a quarter, doubled each time, up to 10 s less a quarter. */
const shortestPauseMs = 150
const longestPauseMs = 7_500
/** A watch that lasted so long may be followed by another at once ... */
const longWatchMs = 1_000
/** ... and counts as news. */
const veryLongWatchMs = 10_000

/**
 * Pauses double until there are news, so that n of them take 150 ms times 2 to the n, and it is never more often than one in 150 ms. News begin
 * them anew: spread evenly they cost most. Longer pauses than the longest there are none, and watches that lasted need none.
 */
export function mostRestarts(elapsedMs: number, news: number): number {
  const runs = news + 1 + elapsedMs / veryLongWatchMs
  const doubling = runs * (1 + Math.log2(1 + elapsedMs / (runs * shortestPauseMs)))
  return Math.ceil(
    Math.min(doubling, elapsedMs / shortestPauseMs + 1) + elapsedMs / longestPauseMs + elapsedMs / longWatchMs,
  )
}
