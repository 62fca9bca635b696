// Where the real cluster is on this machine: names and addresses, fixed, so that a run finds what one before it left behind.
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Part of every name that the machine gets to see. */
export const mark = 'vmsnapshot-e2e'
/** Environment variable that every process of a run inherits. */
export const markVariable = 'VMSNAPSHOT_E2E'
/** Everything that is written lies below it. */
export const directory = join(tmpdir(), mark)

/** The nodes' own network, with the machine in it. */
export const bridge = { name: 'vmsnap-e2e', address: '10.213.7.1', prefixLength: 24 } as const
/** Of the Service default/kubernetes: the first address of the control plane's range. */
export const serviceAddress = '10.77.0.1'

export interface Place {
  readonly name: string
  readonly address: string
  readonly podSubnet: string
  /** the machine's end of the cable */
  readonly link: string
  /** below each hierarchy */
  readonly cgroup: string
  readonly directory: string
}

/** `number`: from 1. */
export function placeOf(name: string, number: number): Place {
  return {
    name,
    address: `10.213.7.${number + 1}`,
    podSubnet: `10.213.${100 + number}.0/24`,
    link: `vmsnap-e2e${number}`,
    cgroup: `${mark}-${name}`,
    directory: join(directory, name),
  }
}
