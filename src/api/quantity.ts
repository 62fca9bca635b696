// Numbers for status: what a file system reports has 64 bits and more, what a JavaScript program reads back exactly has 53.

/** Every byte and inode count in status is at most this: 2^53 - 1, the largest integer that a JSON number carries exactly. */
export const LARGEST_COUNT = Number.MAX_SAFE_INTEGER

/** `value` as a count that every reader gets back unchanged: an integer from 0 to LARGEST_COUNT. NaN counts as 0. */
export function boundedCount(value: number): number {
  return value > 0 ? Math.trunc(Math.min(value, LARGEST_COUNT)) : 0
}

const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
/** 2^64 bytes, more than any file system reports. */
const largestBytes = 16 * 1024 ** 6

/**
 * `0`, `512`, `4Ki`, `1.2Gi`: below 1024 as it is, else the largest unit that gives 1 or more, one decimal below 10, none above.
 * Rounded half up; a value that rounds to 1024 moves to the next unit. Takes the size itself, also where it is above LARGEST_COUNT.
 */
export function formatBytes(bytes: number): string {
  let value = bytes > 0 ? Math.min(bytes, largestBytes) : 0
  let unit = 0
  while (rounded(value) >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? Math.trunc(value) : rounded(value)}${units[unit]}`
}

function rounded(value: number): number {
  return value < 9.95 ? Math.round(value * 10) / 10 : Math.round(value)
}
