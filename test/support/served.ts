// What a process of the operator serves to whoever watches over it. It must run with --listen-address=127.0.0.1:0.
import type { ProgramProcess } from './program-process.ts'
import { until } from './until.ts'

export async function served(process: ProgramProcess, path: string): Promise<{ status: number; text: string }> {
  const address = await until('it serves', () => addressIn(process.log), Boolean)
  const answer = await fetch(`http://${address}${path}`)
  return { status: answer.status, text: await answer.text() }
}

/** The log of an agent goes on with that of the one before it on the same node. */
function addressIn(log: string): string | undefined {
  const line = log.split('\n').findLast((text) => text.includes('serving /metrics'))
  return /"address":"([^"]+)"/.exec(line ?? '')?.[1]
}

/** Samples by name and labels, as they stand in the text. */
export async function metricsOf(process: ProgramProcess): Promise<ReadonlyMap<string, number>> {
  const { text } = await served(process, '/metrics')
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}
