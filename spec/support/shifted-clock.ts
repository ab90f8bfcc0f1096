const RealDate = globalThis.Date;

/** Sets the clock that this process reads wrong by some milliseconds; 0 sets it right. Timers and `performance.now()` do not follow it, as in life. */
export function shiftClock(by: number): void {
  globalThis.Date =
    by === 0
      ? RealDate
      : (class extends RealDate {
          constructor(...args: unknown[]) {
            super(...((args.length === 0 ? [RealDate.now() + by] : args) as [number]));
          }

          static override now(): number {
            return RealDate.now() + by;
          }
        } as unknown as DateConstructor);
}

/** Milliseconds since some moment in the past that is the same for all processes of a machine. No clock that is set wrong changes it. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
