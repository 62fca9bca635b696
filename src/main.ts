#!/usr/bin/env node
// Subcommands, one process each. Wiring only: what each does is in its room.
import { ConfigError } from './config.ts'

interface Subcommand {
  readonly summary: string
  /** resolves to the exit code */
  readonly run: (args: readonly string[]) => Promise<number>
}

const subcommands: Readonly<Record<string, Subcommand>> = {
  agent: {
    summary: "reconcile the VMSnapshots of this node against the node's snapshot directories",
    run: async (args) => (await import('./agent/run.ts')).runAgent(args),
  },
  controller: {
    summary: 'keep the copies of every VMSnapshotSet, aggregate them, give up what belongs to nodes that are gone',
    run: async (args) => (await import('./controller/run.ts')).runController(args),
  },
  uninstall: {
    summary:
      'before the operator is removed: refuse while it holds anything, or let go of all and keep every directory',
    run: async (args) => (await import('./uninstall/run.ts')).runUninstall(args),
  },
  inspect: {
    summary: 'report snapshot directories of this machine, without a cluster',
    run: async (args) => (await import('./inspect/run.ts')).runInspect(args),
  },
}

async function main([name = '--help', ...args]: readonly string[]): Promise<number> {
  if (name === '--help' || name === '-h' || name === 'help') {
    console.log(usage())
    return 0
  }
  const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
  if (subcommand === undefined) {
    console.error(
      `vmsnapshot: unknown subcommand ${JSON.stringify(name)}; there is ${Object.keys(subcommands).join(', ')}`,
    )
    return 2
  }
  try {
    return await subcommand.run(args)
  } catch (error) {
    console.error(`vmsnapshot ${name}: ${error instanceof Error ? error.message : String(error)}`)
    return error instanceof ConfigError ? 2 : 1
  }
}

function usage(): string {
  const rows = Object.entries(subcommands).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`)
  return [
    'Usage: vmsnapshot SUBCOMMAND [--flag=value ...]',
    '',
    ...rows,
    '',
    '`vmsnapshot SUBCOMMAND --help` says more.',
  ].join('\n')
}

process.exitCode = await main(process.argv.slice(2))
