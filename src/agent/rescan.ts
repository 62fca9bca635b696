// The rescan is the only truth; hints merely come sooner. Jittered, so that the looks of one agent spread out, and never later than promised; but in
// bunches, because the disk's thread is woken once for a bunch.

const bunchMs = 250

export function nextRescanMs(
  rescanIntervalMs: number,
  random: () => number = Math.random,
  nowMs = performance.now(),
): number {
  const dueMs = nowMs + rescanIntervalMs * (0.8 + random() * 0.2)
  const stepMs = Math.min(bunchMs, rescanIntervalMs / 10)
  return Math.floor(dueMs / stepMs) * stepMs - nowMs
}
