// What kubectl applies, rendered from the chart by Helm: deploy/crds.yaml and deploy/install.yaml. As a command it builds Helm first where
// nobody has; build/generate.ts does without then, and the test of the chart is the one that notices.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { helm } from '../test/helm/helm.ts'
import { writeGenerated } from './generated.ts'

const chart = join(import.meta.dirname, '..', 'deploy', 'chart')
const notice = '# Rendered from deploy/chart by `npm run render`. Do not edit.'
const namespace = 'vmsnapshot-system'

/** By path below the repository. Throws Error with Helm's own words. */
export async function rendered(): Promise<ReadonlyMap<string, string>> {
  const definitions = readFileSync(join(chart, 'crds', 'crds.yaml'), 'utf8').replace(/^#.*\n/, '')
  const policy = await template('--show-only', 'templates/definitions-policy.yaml')
  // The policy that protects the definitions is theirs: it is applied and removed with them.
  const rest = await template('--set', 'namespace.create=true,definitions.protect=false')
  return new Map([
    ['deploy/crds.yaml', `${notice}\n---\n${definitions}${policy}`],
    ['deploy/install.yaml', `${notice}\n${rest}`],
  ])
}

async function template(...options: readonly string[]): Promise<string> {
  const args = ['template', 'vmsnapshot', chart, '--namespace', namespace, '--no-hooks', ...options]
  const text = await helm(args)
  // Helm 3 and 4 differ in blank lines; where a template stands is of no use to who applies it.
  return text
    .replaceAll(/^# Source: .*\n/gm, '')
    .replaceAll(/\n\n+---\n/g, '\n---\n')
    .replace(/\n+$/, '\n')
}

if (import.meta.main) writeGenerated(await rendered(), '`npm run render`')
