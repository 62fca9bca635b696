// Starts a control plane, says what it is made of, and stays: for the test that its end takes everything along.
import { startControlPlane } from '../controlplane/control-plane.ts'
import { exitOnSignals } from '../controlplane/programs.ts'

exitOnSignals()
const { pids, directory } = await startControlPlane()
console.log(JSON.stringify({ pids, directory }))
setInterval(() => {}, 60_000)
