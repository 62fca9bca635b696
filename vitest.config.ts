import { configDefaults, defineConfig } from 'vitest/config'

const integration = 'test/integration/**/*.test.ts'
/** Long: run by `npm run nightly`, not by the test command. */
const nightly = 'test/nightly/**/*.test.ts'
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
          include: [nightly],
          setupFiles,
          globalSetup: ['test/controlplane/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
