// What a process of the operator serves to whoever watches over it. It must run with --listen-address=127.0.0.1:0.
import type { ProgramProcess } from './program-process.ts'
import { until } from './until.ts'

export async function served(process: ProgramProcess, path: string): Promise<{ status: number; text: string }> {
  const address = await until('it serves', () => /"address":"([^"]+)"/.exec(process.log)?.[1], Boolean)
  const answer = await fetch(`http://${address}${path}`)
  return { status: answer.status, text: await answer.text() }
}

/** Samples by name and labels, as they stand in the text. */
export async function metricsOf(process: ProgramProcess): Promise<ReadonlyMap<string, number>> {
  const { text } = await served(process, '/metrics')
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}
