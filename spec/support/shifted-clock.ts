const RealDate = globalThis.Date;

/**
 * Makes the clock of this process wrong by some milliseconds; 0 corrects it. As on a real machine,
 * timers and `performance.now()` are not affected.
 */
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

/**
 * Returns milliseconds since a moment that is the same for all processes of this machine. Wrong
 * clocks do not affect it.
 */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
