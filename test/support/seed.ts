// Setup of every test file: with TEST_SEED, property tests draw the same values again.
import fc from 'fast-check'

const seed = process.env.TEST_SEED
if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) })
