import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { inspect } from 'node:util';
import type { ConsumeOptions, HandleOptions } from 'sluice';
import { eventually } from './eventually.js';
import { programOf } from './program.js';
import { ROOT } from './root.js';
import { guard } from './servers/guard.js';
import type { Tally } from './tally.js';

/** The settings that a consumer process receives at its start. */
export interface ConsumerSettings {
  readonly backend: string;
  /** The options of the backend. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly consume?: Omit<ConsumeOptions, 'signal'>;
  /** How long each message takes, in milliseconds. `undefined`: until `finish()` is called. */
  readonly work: number | 'until-told';
  /** The error of its clock, in milliseconds. */
  readonly clock?: number;
  /**
   * Handles messages with an `AsyncLoopConsumer` with these options. Default: settles them
   * directly.
   */
  readonly handling?: Pick<HandleOptions, 'concurrency' | 'retry' | 'deliveryLimit'>;
}

/** A consumer in a separate process. It reports a message as processed before it settles it. */
export class ConsumerProcess {
  /** The deliveries in order, with their times by `monotonic()`. */
  readonly got: { readonly id: number; readonly attempt: number; readonly at: number }[] = [];
  /** Whether a message's acknowledgement counted. If it was acknowledged again, the last result. */
  readonly settled = new Map<number, boolean>();
  /** The messages that were processed before they were settled. */
  readonly handled = new Set<number>();
  /** The messages that were given up, with their attempts. */
  readonly gaveUp: { readonly id: number; readonly attempt: number }[] = [];
  /** The warnings of the backend. */
  readonly warnings: string[] = [];
  /** The error of its stream, or how the stream ended if the test did not end it. */
  failure: string | undefined;
  /** The exit code or the signal that ended the process. */
  end: string | number | undefined;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #tally: Tally;
  readonly #closed: Promise<unknown>;
  #ready = false;
  #asked = 0;
  #echoed = 0;
  /** Whether the test has asked the process to end. */
  #ending = false;

  private constructor(settings: ConsumerSettings, tally: Tally) {
    this.#tally = tally;
    const program = programOf(
      `spec/integration/fixtures/${settings.handling === undefined ? 'consumer' : 'handler'}.ts`,
    );
    this.#child = spawn(process.execPath, [program, JSON.stringify(settings)], {
      cwd: ROOT,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    guard(this.#child);
    // Writing to a killed process fails. The error is ignored.
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#hear(line));
    this.#closed = once(this.#child, 'close').then(([code, signal]) => {
      this.end = signal ?? code;
      if (!this.#ending) this.failure ??= `it ended with ${this.end}`;
    });
  }

  /** Starts a process. Resolves when it has subscribed. */
  static async start(settings: ConsumerSettings, tally: Tally): Promise<ConsumerProcess> {
    const consumer = new ConsumerProcess(settings, tally);
    await eventually(() => consumer.#ready || consumer.end !== undefined);
    if (!consumer.#ready) throw new Error(`The consumer ended with ${consumer.end}`);
    return consumer;
  }

  /** Finishes the messages that wait for it. */
  finish(): void {
    this.#child.stdin.write('finish\n');
  }

  /**
   * Resolves when the test has received everything the process has sent, or the process has ended.
   */
  async caughtUp(): Promise<void> {
    const number = ++this.#asked;
    this.#child.stdin.write(`echo ${number}\n`);
    await eventually(() => this.#echoed >= number || this.end !== undefined);
  }

  /** Makes the process's clock wrong by some milliseconds. */
  shiftClock(by: number): void {
    this.#child.stdin.write(`clock ${by}\n`);
  }

  /** Suspends the process. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** Kills the process. */
  async kill(): Promise<void> {
    this.#ending = true;
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  /** Ends the process in an orderly way. Resolves to the exit code. */
  async leave(): Promise<string | number | undefined> {
    this.#ending = true;
    this.#child.stdin.write('leave\n');
    await this.#closed;
    return this.end;
  }

  /** Sends SIGTERM. Resolves to the exit code. */
  async terminate(): Promise<string | number | undefined> {
    this.#ending = true;
    this.#child.kill('SIGTERM');
    await this.#closed;
    return this.end;
  }

  /** Describes the state, for the message of a wait that times out. */
  [inspect.custom](): unknown {
    const { end, failure, warnings, got, settled, gaveUp } = this;
    return { end, failure, warnings, got: got.length, lastGot: got.slice(-5), settled: settled.size, gaveUp };
  }

  #hear(line: string): void {
    const [word, ...rest] = line.split(' ');
    const [id, detail, at] = rest;
    if (word === 'ready') this.#ready = true;
    if (word === 'warned') this.warnings.push(rest.join(' '));
    if (word === 'failed') this.failure = rest.join(' ');
    if (word === 'settled') this.settled.set(Number(id), detail === 'true');
    if (word === 'given-up') this.gaveUp.push({ id: Number(id), attempt: Number(detail) });
    if (word === 'echo') this.#echoed = Number(id);
    if (word === 'handled') {
      this.handled.add(Number(id));
      this.#tally.finished(Number(id));
    }
    if (word !== 'got') return;
    this.got.push({ id: Number(id), attempt: Number(detail), at: Number(at) });
    this.#tally.started(Number(id));
  }
}
