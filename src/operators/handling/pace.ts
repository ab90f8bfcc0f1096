/** Sets the credit of a subscription by how fast its handlers start. */
export interface Pace {
  /** A handler was started, at that time by the scheduler's clock, in milliseconds. */
  started(now: number): void;
  /** None will be started any more. */
  stop(): void;
}
