// Who uses the files of a snapshot directory, as far as a node can tell without looking into processes: loop devices by their backing
// file, and running VMs by the copy-on-write file that the sandbox manager keeps for each in one directory.
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { errnoOf } from './problem.ts'

const blockDevices = '/sys/block'

/** The first loop device whose backing file lies below `path`, in words. Throws system errors but ENOENT: no answer is no permission. */
export function loopDeviceOn(path: string, sysBlock: string = blockDevices): string | undefined {
  for (const device of entriesOf(sysBlock)) {
    if (!device.startsWith('loop')) continue
    const file = backingFileOf(`${sysBlock}/${device}/loop/backing_file`)
    if (file?.startsWith(`${path}/`)) return `${device} has ${file} as its backing file`
  }
  return undefined
}

/**
 * The copy-on-write file of a VM that runs from the snapshot `name`: `<last segment>.cow` in `runningDir`, in words.
 * Throws system errors, also where `runningDir` itself is not there: it may be another disk that is not mounted yet.
 */
export function runningVMOf(name: string, runningDir: string): string | undefined {
  lstatSync(runningDir)
  const path = `${runningDir}/${name.slice(name.lastIndexOf('/') + 1)}.cow`
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? undefined : `a VM runs on ${path}`
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

/** undefined: the device is not set up, or was taken down meanwhile. An unlinked file is named with " (deleted)" behind it. */
function backingFileOf(attribute: string): string | undefined {
  try {
    return readFileSync(attribute, 'utf8').trimEnd()
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENXIO' || errno === 'ENODEV') return undefined
    throw error
  }
}
