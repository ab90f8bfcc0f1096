import { VirtualClock } from '../playground/clock';
import type { Command, Speed } from '../playground/protocol';
import { Pump } from '../playground/pump';

/** More looks at the clock than any test needs: an endless run fails. */
const MOST_ROUNDS = 50_000;

/** A global scope with timers, for a clock of its own. */
export function createScope(): typeof globalThis {
  const {
    Date: RealDate,
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    setImmediate,
    clearImmediate,
  } = globalThis;
  const performance = { now: () => 0 };
  const AbortSignal = { timeout: undefined };
  return {
    Date: RealDate,
    setTimeout,
    clearTimeout,
    setInterval,
    clearInterval,
    setImmediate,
    clearImmediate,
    performance,
    AbortSignal,
  } as never;
}

/** A program with virtual time, in a world in which real time passes only by `sleep`. */
export class VirtualRun {
  readonly scope = createScope();
  readonly clock = new VirtualClock(this.scope);
  readonly pump: Pump;
  /** Real milliseconds. */
  real = 0;
  /** How much longer than asked each sleep takes, as in a suspended tab. */
  delay = 0;
  done = true;
  /** For how many rounds the promises of the program do not settle, 50 ms each. */
  unsettledRounds = 0;
  readonly sleeps: number[] = [];
  /** What the program did: `NAME@VIRTUAL/REAL`. */
  readonly trace: string[] = [];
  readonly states: string[] = [];
  /** How often the picture had to be shown at once. */
  shows = 0;
  #rounds = 0;
  /** Commands by their real time, the earliest first. */
  readonly #later: { readonly at: number; readonly task: () => void }[] = [];

  constructor({ speed = 1, paused = false }: { readonly speed?: Speed; readonly paused?: boolean } = {}) {
    this.pump = new Pump({
      clock: this.clock,
      speed,
      paused,
      realNow: () => this.real,
      sleep: (delay) => this.#sleep(delay),
      settle: () => this.#settle(),
      isDone: () => this.done,
      onRound: async (show) => {
        if (show) this.shows++;
      },
      onPause: (isPaused) => this.states.push(`${isPaused ? 'paused' : 'running'}@${this.clock.now}`),
    });
  }

  /** Calls when a real time has come. */
  at(real: number, task: () => void): void {
    this.#later.push({ at: real, task });
    this.#later.sort((one, other) => one.at - other.at);
  }

  command(real: number, ...commands: readonly Command[]): void {
    this.at(real, () => {
      for (const command of commands) this.pump.command(command);
    });
  }

  /** Starts timers that leave a trace. */
  timer(name: string, delay: number, task = (): void => {}): void {
    this.scope.setTimeout(() => {
      this.trace.push(`${name}@${this.clock.now}/${Math.round(this.real)}`);
      task();
    }, delay);
  }

  /** The virtual times of the trace. */
  get times(): string[] {
    return this.trace.map((entry) => entry.replace(/\/.*/, ''));
  }

  async #settle(): Promise<boolean> {
    if (++this.#rounds > MOST_ROUNDS) throw new Error('Expected the program to end');
    this.#runCommands();
    if (this.unsettledRounds === 0) return true;
    this.unsettledRounds--;
    this.real += 50;
    return false;
  }

  async #sleep(delay: number): Promise<void> {
    if (delay < 0 || Number.isNaN(delay)) throw new Error(`Expected a delay >= 0, got ${delay}`);
    this.sleeps.push(delay);
    const until = this.real + delay + this.delay;
    // A command ends the sleep of the pump, so real time goes no further.
    const next = this.#later[0];
    this.real = next === undefined ? until : Math.min(until, Math.max(next.at, this.real));
    this.#runCommands();
  }

  #runCommands(): void {
    while (this.#later[0] !== undefined && this.#later[0].at <= this.real) this.#later.shift()?.task();
  }
}
