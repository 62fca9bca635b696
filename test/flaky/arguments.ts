// Arguments of the command, checked.

/** Throws RangeError that names the flag, its value and what would be right. */
export function wholeNumber(flag: string, value: string, least: number): number {
  const number = Number(value)
  if (/^\d+$/.test(value) && Number.isSafeInteger(number) && number >= least) return number
  throw new RangeError(`--${flag}=${value}: must be a whole number, at least ${least}`)
}
