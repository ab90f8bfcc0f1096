import { VirtualTimeScheduler } from 'rxjs';

/** Virtual time that a test advances. */
export class VirtualClock {
  readonly scheduler = new VirtualTimeScheduler();

  constructor() {
    this.scheduler.maxFrames = 0;
  }

  /** Runs what is due within the next `milliseconds`. 0 runs what is due now. */
  advance(milliseconds = 0): void {
    const { scheduler } = this;
    scheduler.maxFrames = scheduler.frame + milliseconds;
    // Time does not advance between actions. This empty action advances it to the end of the span.
    scheduler.schedule(() => {}, milliseconds);
    scheduler.flush();
  }

  /** The number of running timers. */
  get timers(): number {
    return this.scheduler.actions.length;
  }
}
