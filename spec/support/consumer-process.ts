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

/** What a consumer process is told at its start. */
export interface ConsumerSettings {
  readonly backend: string;
  /** The options of the backend. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly consume?: Omit<ConsumeOptions, 'signal'>;
  /** How long each message takes, in milliseconds, or until `finish()` is called. */
  readonly work: number | 'until-told';
  /** How wrong its clock is, in milliseconds. */
  readonly clock?: number;
  /** It handles messages with an `AsyncLoopConsumer` that has these options. Default: it settles them itself. */
  readonly handling?: Pick<HandleOptions, 'concurrency' | 'retry' | 'deliveryLimit'>;
}

/** A consumer in a process of its own. It says that it has done a message before it settles it. */
export class ConsumerProcess {
  /** What it was given, as it came, and when, by `monotonic()`. */
  readonly got: { readonly id: number; readonly attempt: number; readonly at: number }[] = [];
  /** Whether its acknowledgement counted, by message: of the last one, if there were several. */
  readonly settled = new Map<number, boolean>();
  /** What it had handled to the end before it settled it. */
  readonly handled = new Set<number>();
  /** What it gave up, and on which attempt. */
  readonly gaveUp: { readonly id: number; readonly attempt: number }[] = [];
  /** What its backend logged. */
  readonly warnings: string[] = [];
  /** With what its stream failed, or how it ended when nobody ended it. */
  failure: string | undefined;
  /** The code or the signal that it ended with. */
  end: string | number | undefined;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #tally: Tally;
  readonly #closed: Promise<unknown>;
  #ready = false;
  #asked = 0;
  #echoed = 0;
  /** Somebody has told it to end. */
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
    // What is written to one that was just killed is of no interest.
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#hear(line));
    this.#closed = once(this.#child, 'close').then(([code, signal]) => {
      this.end = signal ?? code;
      if (!this.#ending) this.failure ??= `it ended with ${this.end}`;
    });
  }

  /** Starts one; resolves when it has subscribed. */
  static async start(settings: ConsumerSettings, tally: Tally): Promise<ConsumerProcess> {
    const consumer = new ConsumerProcess(settings, tally);
    await eventually(() => consumer.#ready || consumer.end !== undefined);
    if (!consumer.#ready) throw new Error(`The consumer ended with ${consumer.end}`);
    return consumer;
  }

  /** Ends the work that waits for it. */
  finish(): void {
    this.#child.stdin.write('finish\n');
  }

  /** Resolves when all that it has said until now was heard here, too. At once for one that has ended. */
  async caughtUp(): Promise<void> {
    const number = ++this.#asked;
    this.#child.stdin.write(`echo ${number}\n`);
    await eventually(() => this.#echoed >= number || this.end !== undefined);
  }

  /** Sets its clock wrong by some milliseconds. */
  shiftClock(by: number): void {
    this.#child.stdin.write(`clock ${by}\n`);
  }

  /** Stops it in the middle of what it does. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    this.#ending = true;
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  /** Ends it in good order; resolves to the code that it exited with. */
  async leave(): Promise<string | number | undefined> {
    this.#ending = true;
    this.#child.stdin.write('leave\n');
    await this.#closed;
    return this.end;
  }

  /** Asks it to end with SIGTERM; resolves to the code that it exited with. */
  async terminate(): Promise<string | number | undefined> {
    this.#ending = true;
    this.#child.kill('SIGTERM');
    await this.#closed;
    return this.end;
  }

  /** What there is to know when a test waits for it in vain. */
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
