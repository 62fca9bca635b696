// Helm, both major versions that the chart is for: from HELM_ASSETS, or built from the modules that go.mod beside this file pins.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { findOrBuild, type GoPrograms, isThere } from '../support/go-programs.ts'

const goMod = readFileSync(join(import.meta.dirname, 'go.mod'), 'utf8')
/** By the major version's name in the import path: v3 and v4. */
const versions = [...goMod.matchAll(/helm\.sh\/helm\/(v[34]) (v\S+)/g)].map(([, major = '', version = '']) => ({
  major,
  version,
}))

const helm: GoPrograms = {
  what: 'Helm',
  variable: 'HELM_ASSETS',
  module: import.meta.dirname,
  cache: 'helm',
  version: versions.map(({ version }) => version).join('-'),
  // Most of the time goes to what both are made of, whichever comes first.
  packages: { helm4: 'helm.sh/helm/v4/cmd/helm', helm3: 'helm.sh/helm/v3/cmd/helm' },
  values: versions.map(({ major, version }) => `helm.sh/helm/${major}/internal/version.version=${version}`),
  duration: 'about 2 minutes',
}

/** Directory that holds `helm3` and `helm4`. Throws Error, one line, where there are none and none can be built. */
export function helmBinaries(env?: NodeJS.ProcessEnv): Promise<string> {
  return findOrBuild(helm, env)
}

/** Whether it can be used at once. */
export function isHelmThere(): boolean {
  return isThere(helm)
}
