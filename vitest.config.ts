import { configDefaults, defineConfig } from 'vitest/config'

const integration = 'test/integration/**/*.test.ts'

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
          exclude: [...configDefaults.exclude, integration],
          // Against a hang, no measure: some write tens of thousands of files, on whatever disk there is.
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: [integration],
          globalSetup: ['test/controlplane/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
