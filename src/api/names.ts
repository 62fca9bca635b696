// What a snapshot directory may be called in the API. The pattern is the CRD's and the runtime's, one text.

const segment = '[A-Za-z0-9][A-Za-z0-9._-]{0,127}'

/** 1 to 4 segments joined by `/`: no leading dot, no `..`, no empty segment can match. */
export const SNAPSHOT_NAME_PATTERN = `^${segment}(/${segment}){0,3}$`
/** 4 segments of 128 characters and their slashes. */
export const SNAPSHOT_NAME_MAX_LENGTH = 4 * 128 + 3

const snapshotName = new RegExp(SNAPSHOT_NAME_PATTERN)

export function isSnapshotName(text: string): boolean {
  return text.length <= SNAPSHOT_NAME_MAX_LENGTH && snapshotName.test(text)
}
