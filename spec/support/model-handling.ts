import { map, Observable, Subject, takeUntil } from 'rxjs';
import {
  AsyncLoopConsumer,
  type Delivery,
  type HandleOptions,
  type HandlerContext,
  handle,
  MemoryBackend,
  type Outcome,
} from 'sluice';
import { ChangedQueue } from './changed-queue.js';
import { numberOf } from './consumers.js';
import type { Inside, Message, Settings, Step, Stop, Worker } from './handling-steps.js';
import { turns } from './promises.js';
import { silentLogger } from './recording-logger.js';
import { VirtualClock } from './virtual-clock.js';

const SUCCESS: Step = { end: 'return', takes: 0 };
const FAILURES = new Set<Step['end']>(['throw', 'reject', 'error', 'never']);
const HAND = { ack: 'acked', nack: 'retried', release: 'released', reject: 'rejected' } as const;
/** How often the flaky dead letter function fails for each message. */
const FLAKES = 2;
/** A `deliveryLimit` that no test reaches. */
const NEVER_REACHED = 1_000_000;
/** The largest prefetch that `'auto'` chooses. */
const AUTO_PREFETCH_MAX = 256;

/**
 * Predicts a message's run if its consumer is never stopped.
 * Returns the attempt that each handler sees and the status of each outcome.
 */
export function expectedRun(
  { steps }: Message,
  { retry, ordered, timeout, deadLetter }: Settings,
): { attempts: number[]; statuses: string[] } {
  const attempts: number[] = [];
  const statuses: string[] = [];
  // A retry in place raises the handler's attempt, but the queue does not count it.
  let counted = 1;
  let inPlace = 0;
  for (const step of [...steps, SUCCESS]) {
    const attempt = counted + inPlace;
    attempts.push(attempt);
    const waits = step.end !== 'return' && step.end !== 'throw';
    const failed = FAILURES.has(step.end) || (waits && timeout !== undefined && step.takes > timeout);
    if (step.hand !== undefined) {
      statuses.push(HAND[step.hand]);
      if (step.hand === 'ack' || step.hand === 'reject') break;
      if (step.hand === 'nack') counted++;
      inPlace = 0;
    } else if (failed && attempt <= retry.count) {
      statuses.push('retried');
      if (ordered) inPlace++;
      else counted++;
    } else {
      if (!failed) statuses.push('acked');
      else statuses.push(deadLetter === 'none' ? 'rejected' : 'dead-lettered');
      break;
    }
  }
  return { attempts, statuses };
}

/** Wraps a delivery to report its nacks and, if `slow`, to delay its settlements. */
function watched(delivery: Delivery, slow: boolean, onNack: () => void): Delivery {
  const later = async (answer: Promise<boolean>): Promise<boolean> => {
    await turns(1);
    return answer;
  };
  return new Proxy(delivery, {
    get: (_, name) => {
      const value: unknown = Reflect.get(delivery, name, delivery);
      if (typeof value !== 'function') return value;
      return (...options: unknown[]) => {
        if (name === 'nack' && !delivery.settled) onNack();
        const answer = value.apply(delivery, options);
        return slow ? later(answer) : answer;
      };
    },
  });
}

type Work = (delivery: Delivery, context: HandlerContext) => unknown;

interface Run {
  readonly n: number;
  readonly delivery: Delivery;
  readonly attempt: number;
  readonly outcomes: Outcome[];
  hand: boolean;
}

/**
 * Runs a queue and its consumers, and records every event.
 * An event that must never happen is added to `problems`.
 */
export class Laboratory {
  readonly clock = new VirtualClock();
  readonly queue: MemoryBackend;
  readonly failed = new MemoryBackend({ logger: silentLogger });
  readonly runs: Run[] = [];
  readonly outcomes: Outcome[] = [];
  readonly problems: string[] = [];
  /** The messages that the flaky dead letter function accepted. */
  readonly letters: number[] = [];
  /** Whether every handler succeeds from now on. */
  succeeds = false;
  /** Whether two consumers run at the same time, so the order cannot be checked. */
  inPairs = false;
  readonly #messages: Message[] = [];
  readonly #flakes = new Map<number, number>();
  readonly #running: Run[] = [];
  readonly #counted = new Map<number, number>();
  #timers = 0;
  #calls = 0;
  #inside: (where: Inside['where']) => void = () => {};

  constructor(readonly settings: Settings) {
    const { scheduler } = this.clock;
    this.queue = new ChangedQueue(
      { name: 'lab', scheduler, logger: silentLogger },
      (stream) =>
        stream.pipe(map((delivery) => watched(delivery, settings.slow, () => this.#count(numberOf(delivery.payload))))),
      settings.obeysCredit,
    );
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  get running(): number {
    return this.#running.length;
  }

  /** The number of running timers that belong to the library. */
  get timers(): number {
    return this.clock.timers - this.#timers;
  }

  publish(message: Message): void {
    const n = this.#messages.push(message) - 1;
    void this.queue.publish(message.key, { n });
  }

  /**
   * Advances time one timer at a time, so the work that a timer starts runs before the next fires.
   */
  async advance(milliseconds: number): Promise<void> {
    const { scheduler } = this.clock;
    const target = scheduler.frame + milliseconds;
    await turns(2);
    for (let due = this.#nextDue(); due <= target; due = this.#nextDue()) {
      this.clock.advance(due - scheduler.frame);
      await turns(2);
    }
    this.clock.advance(target - scheduler.frame);
    const limit = this.#maxInFlight;
    if (this.queue.inFlight > limit)
      this.problems.push(`${this.queue.inFlight} messages are in flight, at most ${limit} are allowed`);
  }

  get #maxInFlight(): number {
    const { prefetch } = this.settings;
    return (prefetch === 'auto' ? AUTO_PREFETCH_MAX : prefetch) * (this.inPairs ? 2 : 1);
  }

  #nextDue(): number {
    return Math.min(...this.clock.scheduler.actions.map(({ delay }) => delay));
  }

  /** Starts a consumer. With `inside`, the consumer begins to stop within that call. */
  start(via: 'operator' | 'consumer', stop?: Stop, inside?: Inside): Worker {
    this.#calls = 0;
    let worker: Worker | undefined;
    this.#inside = (place) => {
      if (stop && place === inside?.where && ++this.#calls === inside.call) worker?.halt(stop);
    };
    const controller = new AbortController();
    const mine = new Set<Run>();
    const work = (delivery: Delivery, context: HandlerContext) => this.#work(delivery, context, mine);
    const { concurrency, prefetch, ordered, timeout, retry, limited } = this.settings;
    const options: HandleOptions = {
      ...{
        concurrency,
        timeout,
        retry,
        signal: controller.signal,
        logger: silentLogger,
        scheduler: this.clock.scheduler,
      },
      orderBy: ordered ? 'key' : undefined,
      deliveryLimit: limited ? NEVER_REACHED : undefined,
      deadLetter: { none: undefined, queue: this.failed, flaky: this.#flaky }[this.settings.deadLetter],
      onOutcome: (outcome) => this.#note(outcome),
    };
    worker =
      via === 'operator'
        ? this.#pipe(work, prefetch, options, controller)
        : this.#consume(work, prefetch, options, controller);
    // Assign `worker` first: a handler may run within this call and stop the consumer.
    worker.run();
    return worker;
  }

  #pipe(work: Work, prefetch: Settings['prefetch'], options: HandleOptions, controller: AbortController): Worker {
    let ended = false;
    const leaving = new Subject<void>();
    const halt = ({ how }: Stop) => (how === 'unsubscribe' ? leaving.next() : controller.abort());
    const run = () =>
      void this.queue
        .deliveries(prefetch === 'auto' ? {} : { prefetch })
        .pipe(handle(work, options), takeUntil(leaving))
        .subscribe({
          complete: () => (ended = true),
          error: (error) => this.problems.push(`The stream failed: ${error}`),
        });
    const stop = async (how: Stop) => {
      halt(how);
      await this.advance(ended ? 0 : Math.min(how.timeout, 200));
      leaving.next();
      await turns(2);
    };
    return { run, halt, stop };
  }

  #consume(work: Work, prefetch: Settings['prefetch'], options: HandleOptions, controller: AbortController): Worker {
    const consumer = new AsyncLoopConsumer(this.queue, { ...options, prefetch });
    const running: Promise<void>[] = [];
    const run = () => void running.push(consumer.run((_payload, delivery, context) => work(delivery, context)));
    const stops: Promise<void>[] = [];
    const halt = ({ how, timeout }: Stop) => {
      if (how === 'signal') controller.abort();
      else stops.push(consumer.shutdown({ timeout }));
    };
    const stop = async (how: Stop) => {
      halt(how);
      await this.advance(Math.min(how.timeout, 200));
      stops.push(consumer.shutdown({ timeout: 0 }));
      await this.advance(0);
      await Promise.all([...running, ...stops]);
    };
    return { run, halt, stop };
  }

  readonly #flaky = async (delivery: Delivery, error: unknown, { signal }: HandlerContext): Promise<void> => {
    const n = numberOf(delivery.payload);
    if (error === undefined) this.problems.push('A dead letter has no error');
    const failures = this.#flakes.get(n) ?? 0;
    this.#flakes.set(n, failures + 1);
    this.#inside('deadLetter');
    await this.#wait(3, signal);
    if (failures < FLAKES) throw new Error('no disk');
    if (!signal.aborted) this.letters.push(n);
  };

  #note(outcome: Outcome): void {
    const { delivery, status } = outcome;
    const n = numberOf(delivery.payload);
    const run = this.runs.find((candidate) => candidate.delivery === delivery);
    this.outcomes.push(outcome);
    run?.outcomes.push(outcome);
    const settled = status === 'dead-lettered' ? 'acked' : status;
    const waitsInPlace = this.settings.ordered && status === 'retried' && delivery.settled === false;
    if (waitsInPlace) this.#count(n);
    if (delivery.settled !== settled && !waitsInPlace)
      this.problems.push(`${n} is ${delivery.settled}, but its outcome is ${status}`);
    if (run === undefined && status !== 'released') this.problems.push(`${n} is ${status} without a run`);
    if (status === 'retried' && !run?.hand && delivery.attempt > this.settings.retry.count)
      this.problems.push(`${n} was retried too often`);
    this.#inside('outcome');
    const givenUp = status === 'dead-lettered' || (status === 'rejected' && !run?.hand);
    if (givenUp && delivery.attempt <= this.settings.retry.count) this.problems.push(`${n} was given up too early`);
  }

  #count(n: number): void {
    this.#counted.set(n, (this.#counted.get(n) ?? 1) + 1);
  }

  #work(delivery: Delivery, { signal }: HandlerContext, mine: Set<Run>): unknown {
    const n = numberOf(delivery.payload);
    const { attempt } = delivery;
    const tries = this.runs.filter((run) => run.n === n).length;
    const step = this.succeeds ? SUCCESS : (this.#messages[n]?.steps[tries] ?? SUCCESS);
    const run: Run = { n, delivery, attempt, outcomes: [], hand: false };
    this.runs.push(run);
    this.#checkStart(run, mine.size);
    mine.add(run);
    this.#running.push(run);
    const over = () => {
      if (mine.delete(run)) this.#running.splice(this.#running.indexOf(run), 1);
    };
    signal.addEventListener('abort', over);
    if (step.hand !== undefined) {
      run.hand = true;
      void delivery[step.hand]();
    }
    this.#inside('handler');
    return this.#end(step, signal, over);
  }

  #checkStart({ n, delivery, attempt }: Run, others: number): void {
    const { concurrency, ordered, limited, retry } = this.settings;
    const { timeout, deadLetter, obeysCredit } = this.settings;
    // Without a timeout, a handler may run longer than an isolated delivery waits for it.
    if (limited && timeout !== undefined && attempt > retry.count + 1) {
      if (others > 0) this.problems.push(`${n} should run alone, but ${others} other handlers run`);
      // An isolated delivery does not wait for messages that are being given up.
      const isAlone = this.queue.inFlight === 1 || deadLetter === 'flaky' || !obeysCredit || this.inPairs;
      if (!isAlone) this.problems.push(`${n} should run alone, but ${this.queue.inFlight} are in flight`);
    }
    if (others >= concurrency) this.problems.push(`${others + 1} handlers run concurrently`);
    if (delivery.settled !== false) this.problems.push(`${n} was ${delivery.settled} before its handler ran`);
    if (this.queue.inFlight > this.#maxInFlight) this.problems.push('Too many messages are in flight');
    if (this.inPairs) return;
    const key = this.#messages[n]?.key;
    if (ordered && this.#running.some((other) => this.#messages[other.n]?.key === key))
      this.problems.push(`${n} overlaps another message of ${key}`);
    const counted = this.#counted.get(n) ?? 1;
    // The queue counts all attempts in place as one.
    if (ordered ? attempt > counted : attempt !== counted)
      this.problems.push(`${n} has attempt ${attempt}, expected ${counted}`);
  }

  #end({ end, takes }: Step, signal: AbortSignal, over: () => void): unknown {
    const fail = () => {
      over();
      throw new Error('no');
    };
    const waited = async () => {
      await this.#wait(takes, signal);
      over();
    };
    switch (end) {
      case 'return':
        return over();
      case 'throw':
        return fail();
      case 'resolve':
        return waited();
      case 'reject':
        return waited().then(fail);
      case 'complete':
      case 'error':
        return new Observable<number>((subscriber) => {
          subscriber.next(1);
          void waited().then(() => (end === 'error' ? subscriber.error(new Error('no')) : subscriber.complete()));
        });
      case 'iterate':
        return (async function* () {
          yield 1;
          await waited();
        })();
      case 'never':
        return new Promise(() => {});
    }
  }

  /** Waits in virtual time. The promise never settles if the signal aborts first. */
  #wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds === 0) return Promise.resolve();
    return new Promise((resolve) => {
      if (signal.aborted) return;
      this.#timers++;
      const timer = this.clock.scheduler.schedule(() => {
        this.#timers--;
        signal.removeEventListener('abort', cancel);
        resolve();
      }, milliseconds);
      const cancel = () => {
        this.#timers--;
        timer.unsubscribe();
      };
      signal.addEventListener('abort', cancel, { once: true });
    });
  }
}
