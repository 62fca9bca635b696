// Bytes for people, in the binary units that `kubectl` users know from quantities.

const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi']

/**
 * `0`, `512`, `4Ki`, `1.2Gi`: below 1024 as it is, else the largest unit that gives 1 or more, one decimal below 10, none above.
 * Rounded half up; a value that rounds to 1024 moves to the next unit.
 */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (rounded(value) >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : rounded(value)}${units[unit]}`
}

function rounded(value: number): number {
  return value < 9.95 ? Math.round(value * 10) / 10 : Math.round(value)
}
