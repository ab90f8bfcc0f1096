import { VirtualTimeScheduler } from 'rxjs';

/** Virtual time that a test moves by hand. */
export class VirtualClock {
  readonly scheduler = new VirtualTimeScheduler();

  constructor() {
    this.scheduler.maxFrames = 0;
  }

  /** Runs what is due within the next `milliseconds`; 0 runs what is due now. */
  advance(milliseconds = 0): void {
    const { scheduler } = this;
    scheduler.maxFrames = scheduler.frame + milliseconds;
    // The clock stands still between two actions: this one takes it to the end of the span.
    scheduler.schedule(() => {}, milliseconds);
    scheduler.flush();
  }

  /** How many timers run. */
  get timers(): number {
    return this.scheduler.actions.length;
  }
}
