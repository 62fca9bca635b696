// What a running process is told by signals: to end, to end at once, and to log more.
import { constants } from 'node:os'
import { type Logger, switchDebug } from './log.ts'

export interface SignalOptions {
  readonly log: Logger
  /** the configured one */
  readonly logLevel: string
  /** ends the process without waiting for anything */
  readonly endNow: (exitCode: number) => void
}

/** Aborted by the first SIGTERM or SIGINT, with its name as reason. A second one ends the process, as an unhandled signal would. */
export function followSignals({ log, logLevel, endNow }: SignalOptions): AbortSignal {
  const ending = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (ending.signal.aborted) {
        log.warn({ signal: name }, 'second signal: ending at once')
        endNow(128 + constants.signals[name])
        return
      }
      log.info({ signal: name }, 'ending')
      ending.abort(name)
    })
  }
  process.on('SIGUSR2', () => switchDebug(log, logLevel))
  return ending.signal
}
