// When a pass is made again though nothing has happened.

export type Requeue = { readonly requeueAfterMs: number }

/** The store is behind: the event under way brings the next pass, or this does. */
export const soon: Requeue = { requeueAfterMs: 1_000 }
