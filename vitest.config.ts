import { configDefaults, defineConfig } from 'vitest/config'

const integration = 'test/integration/**/*.test.ts'
/** Long: run by `npm run nightly`, not by the test command. */
const nightly = 'test/nightly/**/*.test.ts'
/** Tests of the gate that nightly runs longer. */
const longer = {
  files: [
    'test/integration/model.test.ts',
    'test/integration/fleet-model.test.ts',
    'test/integration/crash.test.ts',
    'test/snapshot/killed.test.ts',
    'test/snapshot/attack.test.ts',
    'test/snapshot/header.test.ts',
  ],
  env: {
    MODEL_SEEDS: '2,3,4,5,6,7,8,9,10',
    FLEET_SEEDS: '2,3,4,5,6,7,8,9,10',
    CRASH_ROUNDS: '50',
    KILL_ROUNDS: '200',
    ATTACK_ROUNDS: '3000',
    FUZZ_SECONDS: '60',
  },
}
/** With TEST_SEED, property tests draw the same values again. */
const setupFiles = ['test/support/seed.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    // Most tests wait most of the time, for processes and for an API server: one worker fewer than processors would leave those idle.
    maxWorkers: 2,
    reporters: ['default', './test/support/closing-line.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, integration, nightly],
          setupFiles,
          // Against a hang, no measure: some write tens of thousands of files, on whatever disk there is.
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: [integration],
          setupFiles,
          globalSetup: ['test/controlplane/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'nightly',
          include: [nightly, ...longer.files],
          env: longer.env,
          setupFiles,
          globalSetup: ['test/controlplane/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
