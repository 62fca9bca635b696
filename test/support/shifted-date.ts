// The time of day of this process, so far from the real one as a test says. Timers and the monotonic clock go on as they are.
const RealDate = globalThis.Date
let shiftMs = 0

class ShiftedDate extends RealDate {
  constructor(...values: readonly unknown[]) {
    if (values.length === 0) super(ShiftedDate.now())
    else super(...(values as [number]))
  }

  static override now(): number {
    return RealDate.now() + shiftMs
  }
}

/** 0: the real time again. */
export function shiftDate(ms: number): void {
  shiftMs = ms
  globalThis.Date = ms === 0 ? RealDate : (ShiftedDate as DateConstructor)
}
