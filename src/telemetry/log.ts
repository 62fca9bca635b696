// JSON lines on stdout, one constant message each, with the facts as keys (vmSnapshot, node, reconcileID, durationMs).
import { type Logger, pino } from 'pino'

export type { Logger }

/** A logger of the process; `component` is the subcommand. Times are RFC 3339 UTC. */
export function createLogger(component: string, level: string): Logger {
  return pino({
    level,
    base: { component },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.errWithCause },
  })
}
