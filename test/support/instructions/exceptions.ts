// Reasons whose instruction is not followed in a test here, and why.
import type { Reason } from '../../../src/api/reasons.ts'

export const exceptions: Readonly<Partial<Record<Reason, string>>> = {
  HeaderUnsupported: 'asks for a newer operator, or for a look by another tool: nothing that a test could change',
  VMStateUnknown: 'asks for a look by the tool that wrote the file',
  IOError:
    'the disk is repaired outside of the cluster: test/snapshot/mounts.test.ts and fuse.test.ts make disks fail and heal',
  TimedOut:
    'the disk is repaired outside of the cluster: test/snapshot/fuse.test.ts stops a file system and lets it go on',
  TrashNotInOrder: 'asks for a look into the log',
  ProjectIDDiffers: 'needs XFS with project quota: test/snapshot/refused-renames.test.ts has the state and its end',
  IdentityUnclear:
    'overlayfs changes an identity between two steps of a removal: test/snapshot/refused-renames.test.ts',
  ObjectUnreadable:
    'needs definitions that admit what the program cannot read: test/integration/field-unreadable.test.ts has them, corrects the field and sees the state end',
  WriteDenied: 'test/integration/field-denied.test.ts takes rights away, gives them back and sees the state end',
  CopyDenied: 'test/integration/field-denied.test.ts raises the quota and sees the state end',
  Removed: 'tells to change nothing: DeletionBlocked beside it has the instruction',
  FilesReappear:
    'needs a FUSE file system with a file that a process holds open: test/integration/field-mounts.test.ts',
}
