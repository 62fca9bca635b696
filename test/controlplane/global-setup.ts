// One control plane for the integration tests, with the project's own definitions and the agent's rights in it. Tests keep apart by namespace.
// What is built on a machine that has none of it is built here: no test waits for a compiler, nor beside one.
import type { TestProject } from 'vitest/node'
import { helmBinaries } from '../helm/binaries.ts'
import type { Coordinates } from './cluster.ts'
import { startControlPlane } from './control-plane.ts'
import { install } from './install.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    coordinates: Coordinates
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await helmBinaries()
  const controlPlane = await startControlPlane()
  await install(controlPlane.cluster)
  project.provide('coordinates', controlPlane.cluster.coordinates)
  return () => controlPlane.stop()
}
