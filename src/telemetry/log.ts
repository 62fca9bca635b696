// JSON lines on stdout, one constant message each, with the facts as keys (vmSnapshot, node, reconcileID, durationMs).
import { type Logger, pino } from 'pino'

export type { Logger }

/** Of lines that nobody reads: more are dropped, since a process whose reader hangs has to go on. */
const mostUnreadBytes = 1024 * 1024

/**
 * A logger of the process; `component` is the subcommand, `facts` are in every line. Times are RFC 3339 UTC.
 * A line is written when the call returns, unless its reader is behind: those that are wanted most come right before a process ends itself.
 * Where nobody reads, lines are lost; the process neither waits nor ends.
 */
export function createLogger(component: string, level: string, facts: object = {}): Logger {
  const options = {
    level,
    base: { component, ...facts },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: pino.stdSerializers.errWithCause },
  }
  const { stdout } = process
  if (!stdout.listeners('error').includes(unread)) stdout.on('error', unread)
  return pino(options, {
    write: (line) => {
      if (stdout.writableLength < mostUnreadBytes) stdout.write(line)
    },
  })
}

/** The other end of stdout was closed. */
function unread(): void {}

/** From the configured level to debug, or back; where debug is configured, to info. Children that were made before keep their level. */
export function switchDebug(log: Logger, configured: string): void {
  const quiet = configured === 'debug' ? 'info' : configured
  const level = log.level === 'debug' ? quiet : 'debug'
  // Said while debug is on: the configured level may be one at which nobody would read it.
  if (level === 'debug') log.level = level
  log.info({ logLevel: level }, 'log level changed')
  log.level = level
}
