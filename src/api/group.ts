// The names that the API is made of. Every other file takes them from here.
export const GROUP = 'vmsnapshot.io'
export const VERSION = 'v1alpha1'
export const API_VERSION = `${GROUP}/${VERSION}`

/** On a VMSnapshot while the agent answers for its directory. */
export const DIRECTORY_FINALIZER = `${GROUP}/directory`
/** On a VMSnapshotSet while it has children. */
export const SET_FINALIZER = `${GROUP}/copies`
/** Label of a set's children: the set's name. */
export const SET_LABEL = `${GROUP}/set`
/** The one field manager of status, whoever writes it: a returning agent takes over without conflicts. */
export const STATUS_FIELD_MANAGER = 'vmsnapshot-status'
/** The controller's field manager of everything else that it applies. */
export const CONTROLLER_FIELD_MANAGER = 'vmsnapshot-controller'
