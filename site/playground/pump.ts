import type { Command, Speed } from './protocol.js';

/** What the pump needs of the time of the program. */
interface Clock {
  readonly now: number;
  readonly nextAt: number | undefined;
  runNext(): void;
  advanceTo(time: number): void;
}

/** What the pump depends on. */
export interface PumpOptions {
  readonly clock: Clock;
  readonly speed: Speed;
  readonly paused: boolean;
  /** Real milliseconds. */
  realNow(): number;
  sleep(delay: number): Promise<void>;
  /**
   * Waits until the promises of the program have settled, but not long. Resolves to whether they
   * have.
   */
  settle(): Promise<boolean>;
  /** Whether the module of the program has run to its end. */
  isDone(): boolean;
  /** Is called many times a second, and with true when what has changed must be shown now. */
  onRound(show: boolean): Promise<void>;
  /** Is called when it pauses, after each step and when it resumes. */
  onPause(paused: boolean): void;
}

/** The most real time between two looks at the clock, in milliseconds: one frame. */
const FRAME = 16;

/** A longer gap, such as of a suspended tab, counts as this long, in milliseconds. */
const LONGEST_GAP = 100;

/** How long a paused or idle program sleeps, in milliseconds. */
const NAP = 25;

/**
 * How long nothing must happen before a program counts as finished, in real milliseconds: it may
 * wait for a promise of the browser. Longer while its module waits.
 */
const QUIET = 50;
const QUIET_MODULE = 500;

/** The most that one round counts, in milliseconds: a longer one was busy with the program. */
const MOST_OF_A_ROUND = 2 * NAP;

/** The most timers of one step. */
const MOST_OF_A_STEP = 1000;

/** Advances the virtual time: by real time, timer by timer, or step by step. */
export class Pump {
  readonly #options: PumpOptions;
  #speed: Speed;
  #paused: boolean;
  #steps = 0;
  #ended = false;
  /** The virtual time to reach. With fractions, which the clock does not have. */
  #target = 0;
  #lastLook = 0;
  #wake = (): void => {};

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#speed = options.speed;
    this.#paused = options.paused;
  }

  command(command: Command): void {
    // What has passed until now counts at the speed until now, and not at all during a pause.
    if (!this.#paused) this.#look();
    this.#lastLook = this.#options.realNow();
    if (command.type === 'speed') this.#speed = command.speed;
    else if (command.type === 'step') {
      this.#steps++;
      // At once: a later command may resume it before the step has run.
      this.#paused = true;
    } else if (this.#paused !== (command.type === 'pause')) {
      this.#paused = command.type === 'pause';
      this.#options.onPause(this.#paused);
    }
    this.#wake();
  }

  /** Ends `run`. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /**
   * Runs the program to its end. Resolves to whether its module has ended too: otherwise it waits
   * for something that never comes.
   *
   * Rejects with what a timer throws.
   */
  async run(): Promise<boolean> {
    const { clock, realNow, settle, isDone, onRound } = this.#options;
    let quiet = 0;
    let roundAt = realNow();
    this.#lastLook = roundAt;
    this.#target = clock.now;
    while (!this.#ended) {
      const hasSettled = await settle();
      await onRound(false);
      if (this.#ended) break;
      const now = realNow();
      quiet = hasSettled && clock.nextAt === undefined ? quiet + Math.min(now - roundAt, MOST_OF_A_ROUND) : 0;
      roundAt = now;
      if (quiet > (isDone() ? QUIET : QUIET_MODULE)) return isDone();
      if (this.#steps > 0) await this.#step();
      else if (this.#paused) await this.#nap(NAP);
      else await this.#advance();
    }
    return isDone();
  }

  /** Runs all timers of the next moment. */
  async #step(): Promise<void> {
    const { clock, settle, onRound, onPause } = this.#options;
    this.#steps--;
    const at = clock.nextAt;
    for (let count = 0; at !== undefined && clock.nextAt === at && count < MOST_OF_A_STEP && !this.#ended; count++) {
      clock.runNext();
      await settle();
    }
    await onRound(true);
    if (!this.#ended) onPause(this.#paused);
  }

  /** Runs a timer that is due, or waits for one. */
  async #advance(): Promise<void> {
    const { clock } = this.#options;
    const { nextAt } = clock;
    const target = this.#look();
    if (nextAt !== undefined && nextAt <= target) {
      clock.runNext();
      return;
    }
    if (target === Infinity) {
      await this.#nap(NAP);
      return;
    }
    clock.advanceTo(target);
    await this.#nap(nextAt === undefined ? FRAME : Math.min(FRAME, (nextAt - target) / this.#speed));
  }

  /** Returns the virtual time to reach now. */
  #look(): number {
    const { clock, realNow } = this.#options;
    if (this.#speed === Infinity) return Infinity;
    const now = realNow();
    const gap = Math.min(now - this.#lastLook, LONGEST_GAP);
    this.#lastLook = now;
    // A program that cannot keep up makes its time slower: it does not catch up later.
    const latest = clock.now + LONGEST_GAP * this.#speed;
    this.#target = Math.min(Math.max(this.#target, clock.now) + gap * this.#speed, latest);
    return this.#target;
  }

  /** Sleeps, but not beyond the next command. */
  async #nap(delay: number): Promise<void> {
    await Promise.race([
      this.#options.sleep(delay),
      new Promise<void>((resolve) => {
        this.#wake = resolve;
      }),
    ]);
  }
}
