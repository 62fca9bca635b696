// Logs ten MiB, then says on stderr that it is still there, and waits to be ended.
import { createLogger } from '../../src/telemetry/log.ts'

const log = createLogger('test', 'info')
for (let line = 0; line < 10_240; line++) log.info({ filler: 'x'.repeat(1024) }, 'a line')
console.error('logged')
setInterval(() => {}, 1_000)
