// What a run tells while it goes on: each line with the time since it began.
const startedAt = performance.now()

export function say(line: string): void {
  console.log(`[${secondsSince(startedAt).padStart(6)} s] ${line}`)
}

export function secondsSince(beganAt: number): string {
  return ((performance.now() - beganAt) / 1000).toFixed(1)
}

/** Says what was done once it is, with the time that it took. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const beganAt = performance.now()
  const result = await work()
  say(`${what} (${secondsSince(beganAt)} s)`)
  return result
}
