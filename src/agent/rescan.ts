// The rescan is the only truth; hints merely come sooner. Jittered, so that the looks of one agent spread out, and never later than promised.

export function nextRescanMs(rescanIntervalMs: number, random: () => number = Math.random): number {
  return rescanIntervalMs * (0.8 + random() * 0.2)
}
