// Every reason that a condition can carry: what it means and what to do. docs/reasons.md is generated from this list.

interface ReasonText {
  readonly meaning: string
  readonly whatToDo: string
}

const text = (meaning: string, whatToDo: string): ReasonText => ({ meaning, whatToDo })

const nothing = 'Nothing.'

export const reasons = {
  // Exists
  AllFilesPresent: text('All required files are there, by name.', nothing),
  FilesMissing: text(
    'The directory is there and a required file is not; the message names it.',
    'Wait while it is being written; else restore the file or delete the VMSnapshot.',
  ),
  DirectoryAbsent: text(
    'Proven: nothing has the name below a base directory that is the one on record.',
    'Create the snapshot on the node, or delete the VMSnapshot.',
  ),
  NotADirectory: text(
    'A file, a symbolic link or a device has the name. Links are never followed.',
    'Move it away by hand; the agent touches nothing but directories.',
  ),
  Removed: text(
    'The agent removed the directory and proved it gone; the object is still there because its finalizer could not be taken off.',
    'DeletionBlocked says why. A directory that appears under the name later is another one and is not touched.',
  ),
  // Restorable
  Restorable: text('Everything that a restore reads is there, whole and unchanged for the settle time.', nothing),
  StillChanging: text(
    'The directory, or its base template, has not been seen unchanged for the settle time, or memfile.raw is there: memory is being saved.',
    'Wait. A memfile.raw that stays was left by a crash: take the snapshot again.',
  ),
  HeaderDamaged: text('memfile.header does not decode.', 'The memory image cannot be read; take the snapshot again.'),
  HeaderUnsupported: text(
    'memfile.header has a version that this agent does not read.',
    'Upgrade the operator, or check the snapshot with the tool that wrote it.',
  ),
  DiffFileMissing: text(
    'memfile.header names a build whose diff file is not there.',
    'Restore the file, or take the snapshot again.',
  ),
  DiffFileShort: text(
    'A diff file ends before the last byte that memfile.header maps to it.',
    'Restore the file, or take the snapshot again.',
  ),
  VMStateDamaged: text('snapfile is cut, padded or has a wrong checksum.', 'Take the snapshot again.'),
  VMStateUnknown: text(
    'snapfile was written by something that this agent does not know, or its head is damaged.',
    'Check the snapshot with the tool that wrote it.',
  ),
  RootfsMetaDamaged: text(
    'rootfs.meta is not the JSON document that a CoW snapshot needs.',
    'Restore the file, or take the snapshot again.',
  ),
  BaseTemplateMissing: text(
    'The base template that rootfs.meta names is not there.',
    'Restore the template: without it the CoW file is worthless.',
  ),
  BaseTemplateChanged: text(
    'Size or modification time of the base template differ from what they were when rootfs.cow was first seen with it; the message has both. ' +
      'A CoW file is valid only over the exact bytes that it was made over: also a resize in place (resize2fs, truncate) makes it worthless.',
    'Restore the image as it was, with its modification time (cp -p, rsync -t), or take the snapshot again. Where only the time changed (touch) and the bytes are surely the same, ' +
      'set it back with touch -d and the time that the message names.',
  ),
  BaseTemplateNotVisible: text(
    'The base template lies where the agent cannot see it.',
    'Keep templates below the base directory and take the snapshot again, so that rootfs.meta names the template there; or ignore Restorable for this snapshot.',
  ),
  BaseTemplateUnresolved: text(
    'A path or a file below the base directory cannot be read, so the base template of a snapshot is not known. The message names the path. ' +
      'On DeletionBlocked: a snapshot may need the image of this directory.',
    'Correct what the message names: the link, the permission or the rootfs.meta; or delete the snapshot that it belongs to.',
  ),
  FileUnreadable: text(
    'A file of the directory could not be read; the message names it and the error.',
    'Check the disk of the node and the permissions of the file.',
  ),
  // Unknown: about the way to the directory, never about the snapshot
  BaseDirectoryMissing: text('The base directory is not there.', 'Mount or create it on the node.'),
  BaseDirectoryNotADirectory: text(
    'The base directory is something else than a directory.',
    'Correct the base directory of the agent.',
  ),
  NotAMountPoint: text(
    'The installation requires a mount point and the base directory is none.',
    'Mount the disk on the node.',
  ),
  MarkerMissing: text(
    'A storage ID is on record and the base directory carries none: a disk is not mounted, or is a new one.',
    'Mount the disk, or set spec.retireStorageID of the VMSnapshotNode to give the old one up.',
  ),
  MarkerInvalid: text(
    'The marker file holds something else than a UUID.',
    'Restore it; the VMSnapshotNode names the ID.',
  ),
  StorageChanged: text(
    'The base directory carries another storage ID than the one on record.',
    'Mount the old disk, or set spec.retireStorageID of the VMSnapshotNode to give it up.',
  ),
  StorageShared: text(
    'Another node reports the same storage ID: a disk was cloned with its marker, or one is mounted on both. Nothing is removed on either.',
    'Set spec.retireStorageID of one of the two VMSnapshotNodes to this ID: its agent makes a new one. A disk that is mounted on both: give each node its own. See docs/operations.md.',
  ),
  StorageRetiring: text(
    'spec.retireStorageID names the ID of the present disk, and the new marker is not written yet; the message says why.',
    'Wait while removals end; else make the base directory writable for the agent.',
  ),
  TrashNotInOrder: text(
    'An entry of .vmsnapshot/trash is, or may be, the directory of this name and could not be dealt with yet.',
    'Repair the entry that the message, or StorageReady of the VMSnapshotNode, names.',
  ),
  LockHeld: text(
    'Another process works on the base directory, or did and hangs: nothing is removed by two. The message says which.',
    'End the other agent, or give each node a base directory of its own.',
  ),
  PermissionDenied: text(
    'The agent may not read it; the message names the path.',
    'Let the agent run as the owner of the directories, or add the capability that docs/security.md names for it.',
  ),
  IOError: text('The file system answered with an error; the message names it.', 'Check the disk of the node.'),
  TimedOut: text('The file system did not answer in time.', 'Check the disk of the node; the agent tries again.'),
  ChangedWhileReading: text('The directory changed again and again while it was read.', 'Wait.'),
  TooManyEntries: text(
    'The directory holds more entries than an inspection reads.',
    'Look at the directory: a snapshot has a few dozen files.',
  ),
  NotYetInspected: text('The agent has not looked yet.', 'Wait.'),
  // Ready
  Ready: text('Restorable, claimed by this object alone or first, and not being deleted.', nothing),
  ClaimConflict: text(
    'An older VMSnapshot claims the same directory; the message names it.',
    'Delete one of the two: the directory goes only with its last claim.',
  ),
  Deleting: text('The object is being deleted.', 'Wait; DeletionBlocked says what holds it up.'),
  // Ready and DeletionBlocked
  WriteDenied: text(
    "The API server denies a write of the operator: RBAC, an admission policy or webhook. The message has the server's words.",
    'Change the policy, the right or the object as the message says, or bring the webhook back. The write is retried every few seconds.',
  ),
  // DeletionBlocked
  ForeignFinalizer: text(
    "Somebody else's finalizer stands on the object, its set or another claim: that is how others hold a snapshot.",
    'Ask whoever set the finalizer.',
  ),
  ClaimBelow: text('Another VMSnapshot claims a directory inside this one.', 'Delete that one first.'),
  ClaimNotYetHeld: text('Another VMSnapshot claims the same directory and does not carry its finalizer yet.', 'Wait.'),
  WaitsForClaim: text('Older claims of the same directory are being deleted first.', 'Wait.'),
  OwnerUnknown: text('The owning VMSnapshotSet could not be read.', 'Wait; check the API server.'),
  DefinitionUnknown: text(
    'The CustomResourceDefinition could not be read.',
    'Wait; check the API server and the RBAC of the agent.',
  ),
  ObjectUnreadable: text(
    'The agent or the controller cannot read an object, or the part of it that a removal goes by; the message names object and field.',
    'Correct the field (`kubectl edit`, for status with `--subresource=status`), or upgrade the operator where a newer version wrote it. deletionPolicy Retain lets a readable object go and leaves its directory.',
  ),
  CRDTerminating: text(
    'The CustomResourceDefinition is being deleted, which marks every object deleted: no directory is removed for that.',
    'Set deletionPolicy to Retain to let the objects go; see docs/removal.md.',
  ),
  NotASnapshot: text(
    'The directory is not empty and holds no snapshot file.',
    'Set deletionPolicy to Retain, or remove the directory by hand.',
  ),
  SnapshotsBelow: text('Other snapshot directories lie inside this one.', 'Delete them first.'),
  BaseTemplateInUse: text(
    'Its rootfs.ext4 is the base template of other snapshots on the node.',
    'Delete those first, or set deletionPolicy to Retain.',
  ),
  InUse: text('A running VM or a loop device uses it.', 'Stop the VM.'),
  MountedBelow: text(
    'Something is mounted on the directory or on an entry below it; the message names the mount point. Nothing that is mounted is ever removed.',
    'Unmount it: the deletion goes on with the next resync. Or set deletionPolicy to Retain.',
  ),
  SubvolumeBelow: text(
    'A btrfs subvolume lies inside the directory; the message names it. It is not removed with the directory.',
    'Delete it (btrfs subvolume delete) or move it away, or set deletionPolicy to Retain.',
  ),
  SubvolumeReadOnly: text(
    'The directory lies in a read-only btrfs subvolume, or is one: nothing can be renamed or removed there.',
    'Make it writable (btrfs property set -f <subvolume> ro false), or set deletionPolicy to Retain.',
  ),
  OverlayLowerLayer: text(
    'The directory lies in a lower layer of an overlay file system, which refuses to rename it (EXDEV).',
    'Remove it in the lower layer and set deletionPolicy to Retain, or mount the overlay with redirect_dir=on.',
  ),
  ProjectIDDiffers: text(
    'The file system refuses to rename the directory (EXDEV): its project ID, for quotas, or its encryption policy differs from that of the directory it would go to.',
    'Take the inherit flag from .vmsnapshot/trash below the base directory, or from the directory above it (chattr -P), or set deletionPolicy to Retain.',
  ),
  IdentityUnclear: text(
    'It is not clear whether the directory of the name is the recorded one: the file system changes inode or birth time by itself, or gives them to clones too and the file handle is not known.',
    'Set deletionPolicy to Retain and remove the directory by hand, or create a VMSnapshot for it and delete that.',
  ),
  FilesReappear: text(
    'A file that the agent removed is there again: on FUSE and NFS an open file only changes its name, or a process writes new files. The message names one.',
    'End the process that has the file open. The agent tries again, with growing delays.',
  ),
  NameTaken: text(
    'The directory was taken out of the way and another one has its name since.',
    'Move the other one away: the first goes back by itself.',
  ),
  IdentityChanged: text('Another directory than the recorded one has the name.', 'Nothing: it is not touched.'),
  // of nodes and sets
  StorageReady: text('The base directory is the one on record and can be read.', nothing),
  AgentReady: text('The Pod of the agent is ready.', nothing),
  AgentNotReady: text('The node has a Pod of the agent and it is not ready.', 'Look at the Pod and its log.'),
  AgentMissing: text(
    'The node is there and has no agent. Nothing of it is given up.',
    'Check the DaemonSet: its node selector, tolerations and events.',
  ),
  NodeRecreated: text(
    'A Node was made again under the same name and has no agent yet.',
    'Wait for the agent. It finds out whether the old disk is there.',
  ),
  NodeAbsent: text(
    'There is no Node of this name: it was deleted and the grace time runs, or none has ever been seen.',
    'Bring the node back, or check spec.nodeName: it cannot be changed, delete the VMSnapshot and create another one.',
  ),
  NodeOutOfService: text(
    'The Node carries the taint node.kubernetes.io/out-of-service: it counts as gone.',
    'Take the taint away once the node is back.',
  ),
  NodeGone: text(
    'The node is gone, and its snapshots with it: deleted for the grace time, or tainted out of service.',
    'Nothing; the event and the VMSnapshotNode name what was abandoned.',
  ),
  CopiesNotReady: text('Not every copy of the set is Ready; the message names the first.', 'Look at that VMSnapshot.'),
  CopyNotCreated: text('The node has no VMSnapshot of the set yet.', 'Wait.'),
  CopyDenied: text(
    "The API server denies the creation of a copy: a ResourceQuota, RBAC, an admission policy or webhook. The message has the server's words.",
    'Raise the quota or change the policy. One copy is tried every few seconds; once it succeeds, all others follow.',
  ),
  NameNotOwned: text(
    "An object that is not the set's has the name of its copy. It is left alone.",
    'Delete or rename the object that the message names.',
  ),
  Deselected: text(
    'The node no longer matches nodeSelector: the VMSnapshot goes and its directory stays.',
    'Nothing. The VMSnapshotNode lists the directory as unclaimed.',
  ),
  NoNodes: text('No node with an agent matches nodeSelector.', 'Check the selector and the agents.'),
} as const satisfies Readonly<Record<string, ReasonText>>

export type Reason = keyof typeof reasons
