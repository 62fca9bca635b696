// Live reads that many ask for at once. Never an answer that is older than the question.

/** One read for all who ask while it is under way: a fleet that is deleted asks a thousand times a second. */
export function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  let next: Promise<T> | undefined
  const start = (): Promise<T> => {
    next = undefined
    running = read().finally(() => {
      running = undefined
    })
    return running
  }
  return () => {
    if (running === undefined) return start()
    // What is under way may have begun before whatever the asker has seen: it waits for the one after.
    next ??= running.then(start, start)
    return next
  }
}
