import type { Observable, Subscriber } from 'rxjs';
import type { Delivery } from '../../backend.js';
import type { Credit } from '../../bridge/credit.js';
import { UnrecoverableError } from '../../errors.js';
import { COUNTED } from '../../internal/answers.js';
import { logFailure } from '../../internal/delivery-log.js';
import { interceptionOf } from '../../internal/interception.js';
import { onAbort } from '../../internal/on-abort.js';
import type { OutcomeStatus } from '../../internal/outcome.js';
import { Sink, type SourceObserver } from '../../internal/sink.js';
import type { BoundHandleOptions, Handler, PrefetchController } from '../handle-options.js';
import { Attempt, type Ending, type Failure, type Lane } from './attempt.js';
import { AttemptQueue } from './attempt-queue.js';
import { DeadLetters } from './dead-letters.js';
import { describeSettled, logRejection, ManyDeliveriesWarning, tooManyDeliveries } from './delivery-log.js';
import { nextTry, RetryTimers, retryDelay } from './retry.js';
import {
  correct,
  endingOf,
  isTakenBack,
  releaseUnsettled,
  reportOutcome,
  type SettlementMethod,
  settle,
} from './settle.js';
import { Suspects } from './suspects.js';
import { type Worker, Workers } from './workers.js';

/** Takes deliveries and starts handlers. */
const OPEN = 0;
/** Starts no handlers. Those that run finish, then everything else is released. */
const STOPPING = 1;
/** The stream has ended, or the subscriber has unsubscribed. */
const OVER = 2;

/**
 * One subscription to `handle`: the states of its deliveries.
 *
 * ```text
 *            ┌──────────── #retries (orderBy) ◀────────────┐
 *            ▼                                             │
 * take ─▶ #queue ─▶ #workers ─▶ #finish ─▶ ok ─────────────┼─▶ settle ─▶ #conclude
 *   │        ▲                        └──▶ #failed ────────┤      ▲
 *   └▶ #suspects (run alone)                 └▶ #deadLetters ─────┘
 * ```
 *
 * The parts hold state and return results. Each event changes the state, then calls `#moveOn` once.
 */
export class Handling implements SourceObserver<Delivery> {
  readonly #subscriber: Subscriber<unknown>;
  readonly #options: BoundHandleOptions;
  readonly #prefetch: PrefetchController | undefined;
  readonly #source = new Sink<Delivery>(this, true);
  readonly #queue = new AttemptQueue();
  readonly #workers: Workers;
  /** Attempts that wait to be retried in place. */
  readonly #retries: RetryTimers;
  readonly #deadLetters: DeadLetters;
  /** Undefined without a `deliveryLimit`. */
  readonly #suspects: Suspects | undefined;
  readonly #manyDeliveries: ManyDeliveriesWarning;
  /** How many settlements the backend has not answered. */
  #settling = 0;
  #phase: typeof OPEN | typeof STOPPING | typeof OVER = OPEN;
  #moving = false;
  #sourceEnded = false;
  #failure: Failure | undefined;

  /** Without a `credit`, the source obeys none. Without a `prefetch`, the credit is fixed. */
  constructor(
    subscriber: Subscriber<unknown>,
    handler: Handler,
    options: BoundHandleOptions,
    credit?: Credit,
    prefetch?: PrefetchController,
  ) {
    const { scheduler, deliveryLimit } = options;
    this.#subscriber = subscriber;
    this.#options = options;
    this.#prefetch = prefetch;
    this.#workers = new Workers(options, {
      handler,
      prefetch,
      mayRun: ({ delivery }) => this.#phase === OPEN && !isTakenBack(delivery),
      onValue: (value) => subscriber.next(value),
      onEnd: (worker) => this.#moveOn(this.#finish(worker)),
    });
    this.#deadLetters = new DeadLetters(options, (attempt, method, ending, argument) => {
      this.#awaitAnswer(settle(attempt.delivery, method, argument), method, attempt, ending);
      this.#moveOn();
    });
    this.#retries = new RetryTimers(scheduler);
    this.#manyDeliveries = new ManyDeliveriesWarning(options);
    if (deliveryLimit === Number.POSITIVE_INFINITY) return;
    this.#suspects = new Suspects({
      ...options,
      credit,
      deadLettering: () => this.#deadLetters.size,
      onReady: () => this.#moveOn(),
    });
  }

  connect(source: Observable<Delivery>): void {
    const { signal } = this.#options;
    if (signal?.aborted) this.#subscriber.complete();
    else {
      const ignoreAbort = onAbort(signal, () => this.#stop());
      this.#subscriber.add(() => {
        ignoreAbort();
        this.#leave();
      });
      source.subscribe(this.#source);
    }
  }

  take(delivery: Delivery): void {
    const attempt = new Attempt(delivery);
    const { deliveryLimit } = this.#options;
    const failure = interceptionOf(delivery)?.failure;
    if (this.#phase !== OPEN) this.#takeLate(attempt);
    else if (delivery.attempt > deliveryLimit) this.#failed(attempt, tooManyDeliveries(delivery, deliveryLimit), 0);
    else if (failure !== undefined) this.#failed(attempt, failure.error, 0, 'An interceptor failed');
    else if (this.#suspects === undefined || this.#suspects.admits(attempt)) this.#admit(attempt);
  }

  exhaust(failure?: Failure): void {
    this.#sourceEnded = true;
    this.#failure = failure;
    if (failure === undefined) this.#moveOn();
    else this.#stop();
  }

  /**
   * Starts the handlers that may start, and ends the stream if it is over. An event that arises
   * within this call leaves the rest to it, so that the stack does not grow.
   * @param now the time, if it is known; else 0
   */
  #moveOn(now = 0): void {
    if (this.#moving) return;
    this.#moving = true;
    for (let time = now; ; time = 0) {
      while (this.#queue.first !== undefined && this.#mayStart()) time = this.#start(this.#queue.shift(), time);
      if (this.#suspects === undefined || !this.#advance(this.#suspects)) break;
    }
    this.#moving = false;
    if (this.#workers.running === 0) this.#endIfDone();
  }

  #mayStart(): boolean {
    return this.#workers.hasFree && this.#phase === OPEN && this.#suspects?.running === undefined;
  }

  /** Starts the next suspect, or what waits for the last one. Returns whether anything changed. */
  #advance(suspects: Suspects): boolean {
    if (this.#phase !== OPEN) return false;
    if (suspects.finished) {
      suspects.resume();
      return true;
    }
    const heldBack = suspects.nextHeldBack();
    if (heldBack !== undefined) {
      this.#admit(heldBack);
      return true;
    }
    const busy = this.#workers.running + this.#settling + this.#retries.size > 0;
    const atRest = !busy && this.#queue.first === undefined;
    if (!suspects.mayRun(atRest) || !this.#mayStart()) return false;
    // The backend must answer the releases first.
    if (suspects.releasesOthers) {
      const followers = this.#releaseAll(this.#queue.drainLanes());
      if (this.#releaseAll(suspects.drainOthers()) || followers) return true;
    }
    this.#start(suspects.next(), 0);
    return true;
  }

  #admit(attempt: Attempt): void {
    const { orderBy } = this.#options;
    this.#manyDeliveries.check(attempt.delivery);
    if (orderBy !== undefined && !this.#enterLane(attempt, orderBy)) return;
    this.#enqueue(attempt);
    if (this.#workers.hasFree) this.#moveOn();
  }

  /** Returns whether the attempt is the first of its lane. */
  #enterLane(attempt: Attempt, orderBy: (delivery: Delivery) => unknown): boolean {
    let key: unknown;
    try {
      key = orderBy(attempt.delivery);
    } catch (error) {
      this.#failed(attempt, error, 0);
      return false;
    }
    // `orderBy` may have stopped the consumer.
    if (this.#phase === OPEN) return this.#queue.enterLane(attempt, key);
    this.#takeLate(attempt);
    return false;
  }

  #enqueue(attempt: Attempt): void {
    if (this.#phase === OPEN && this.#suspects?.includes(attempt)) this.#suspects.add(attempt);
    else this.#queue.push(attempt);
  }

  /** Takes an attempt that arrives when no more handlers start. */
  #takeLate(attempt: Attempt): void {
    if (this.#phase === STOPPING) this.#queue.push(attempt);
    else releaseUnsettled(attempt.delivery, this.#options.logger);
  }

  /** Starts a handler. Returns the time if it is known afterwards; else 0. */
  #start(attempt: Attempt, now: number): number {
    if (isTakenBack(attempt.delivery)) {
      this.#settle(attempt, 'release');
      this.#suspects?.ended(attempt);
      return 0;
    }
    const ended = this.#workers.start(attempt, now);
    return ended === undefined ? 0 : this.#finish(ended);
  }

  /** Settles the delivery of a handler that has ended. Returns the time if it is known; else 0. */
  #finish(worker: Worker): number {
    const { failed, result } = worker;
    const attempt = worker.attempt as Attempt;
    worker.attempt = worker.result = undefined;
    const now = this.#workers.now();
    const duration = now - worker.startedAt;
    if (worker.skipped) this.#settle(attempt, 'release', duration);
    else if (failed) this.#failed(attempt, result, duration);
    else this.#acknowledge(attempt, duration, result);
    this.#suspects?.ended(attempt);
    // Only now, so that no other result overtakes this one.
    this.#workers.free(worker);
    return result === undefined ? now : 0;
  }

  #failed(attempt: Attempt, error: unknown, duration: number, what = 'A handler failed'): void {
    const { delivery } = attempt;
    const { retryCount, logger } = this.#options;
    const failure = { error };
    if (delivery.settled) {
      logFailure(logger, 'warn', what, delivery, error, describeSettled(delivery));
      this.#settle(attempt, 'release', duration, failure);
    } else if (delivery.attempt <= retryCount && !UnrecoverableError.is(error))
      this.#retry(attempt, failure, duration, what);
    else this.#giveUp(attempt, failure, duration);
  }

  #retry(attempt: Attempt, failure: Failure, duration: number, what: string): void {
    const { delivery, lane } = attempt;
    const { error } = failure;
    const delay = retryDelay(this.#options, delivery, error, delivery.attempt);
    const inPlace = lane !== undefined && this.#phase === OPEN;
    // The timer first: the log line or the outcome may stop the consumer, and `#stop` must find it.
    if (inPlace) this.#retries.start({ attempt, duration, failure }, delay, () => this.#retryInPlace(attempt, lane));
    const next = inPlace || lane === undefined ? `next try in ${Math.round(delay)} ms` : 'it is requeued';
    logFailure(this.#options.logger, 'warn', what, delivery, error, next);
    if (inPlace) reportOutcome(attempt, 'retried', duration, failure, this.#options);
    // In a lane without the delay: the rest of the lane is requeued, too, and must not overtake it.
    else this.#settle(attempt, 'nack', duration, failure, lane ? undefined : { delay });
  }

  #retryInPlace(attempt: Attempt, lane: Lane): void {
    const { delivery } = attempt;
    if (delivery.settled) {
      logRejection(this.#options.logger, delivery);
      this.#leaveLane(attempt, lane);
    } else {
      this.#queue.replace(attempt, new Attempt(nextTry(delivery)), lane);
    }
    this.#moveOn();
  }

  #requeueRetries(): void {
    for (const { attempt, duration, failure } of this.#retries.cancel()) {
      // The handler may have rejected the delivery since it failed.
      if (attempt.delivery.settled) logRejection(this.#options.logger, attempt.delivery);
      this.#settle(attempt, 'nack', duration, failure);
    }
  }

  #giveUp(attempt: Attempt, failure: Failure, duration: number): void {
    const { delivery } = attempt;
    const { error } = failure;
    const { deadLetter, logger } = this.#options;
    if (deadLetter === undefined) {
      logFailure(logger, 'error', 'A message is given up', delivery, error, 'it is rejected');
      this.#settle(attempt, 'reject', duration, failure, error);
      return;
    }
    const next = this.#phase === OVER ? 'it is requeued, since its consumer has unsubscribed' : 'it is dead-lettered';
    logFailure(logger, 'warn', 'A message is given up', delivery, error, next);
    if (this.#phase === OVER) this.#settle(attempt, 'release', duration, failure);
    else {
      this.#deadLetters.send(attempt, duration, failure);
      this.#suspects?.deadLettering();
    }
  }

  /** Releases one by one, since each outcome may unsubscribe. Returns whether there were any. */
  #releaseAll(attempts: Iterable<Attempt>): boolean {
    let any = false;
    for (const attempt of attempts) {
      any = true;
      this.#settle(attempt, 'release');
    }
    return any;
  }

  /** @param value is emitted if the acknowledgement counts */
  #acknowledge(attempt: Attempt, duration: number, value: unknown): void {
    const answer = settle(attempt.delivery, 'ack');
    // The common case allocates nothing.
    if (answer === COUNTED) this.#conclude(attempt, 'acked', duration, undefined, value);
    else this.#awaitAnswer(answer, 'ack', attempt, endingOf('ack', duration, undefined, value));
  }

  #settle(attempt: Attempt, method: SettlementMethod, duration = 0, failure?: Failure, argument?: unknown): void {
    const ending = endingOf(method, duration, failure);
    this.#awaitAnswer(settle(attempt.delivery, method, argument), method, attempt, ending);
  }

  /** Concludes an attempt when the backend has answered. */
  #awaitAnswer(answer: Promise<boolean> | false, method: SettlementMethod, attempt: Attempt, ending: Ending): void {
    const conclude = (counts: boolean) =>
      this.#conclude(attempt, ending.status, ending.duration, ending.failure, counts ? ending.value : undefined);
    const corrected = correct(answer, method, attempt.delivery, ending, this.#options.logger);
    if (corrected === undefined) conclude(true);
    else {
      this.#settling++;
      void corrected.then((counts) => {
        conclude(counts);
        this.#settling--;
        this.#moveOn();
      });
    }
  }

  #conclude(attempt: Attempt, status: OutcomeStatus, duration: number, failure?: Failure, value?: unknown): void {
    reportOutcome(attempt, status, duration, failure, this.#options);
    if (attempt.lane !== undefined) this.#leaveLane(attempt, attempt.lane);
    if (value !== undefined) this.#subscriber.next(value);
  }

  #leaveLane(attempt: Attempt, lane: Lane): void {
    const next = this.#queue.leaveLane(attempt, lane);
    if (next !== undefined) this.#enqueue(next);
  }

  #stop(): void {
    if (this.#phase !== OPEN) return;
    this.#phase = STOPPING;
    this.#suspects?.stop();
    this.#prefetch?.stop();
    this.#requeueRetries();
    this.#deadLetters.stop();
    this.#moveOn();
  }

  #endIfDone(): void {
    const isBusy = () => this.#workers.running + this.#settling + this.#retries.size + this.#deadLetters.size > 0;
    if (isBusy()) return;
    const isDrained = this.#sourceEnded && this.#queue.first === undefined && this.#suspects?.idle !== false;
    if (this.#phase === STOPPING) {
      this.#releaseAndLeave();
      // The backend must answer the releases first.
      if (this.#phase === STOPPING && !isBusy()) this.#end();
    } else if (this.#phase === OPEN && isDrained) this.#end();
  }

  /** Releases what has not started, and then unsubscribes, which would count it as failed. */
  #releaseAndLeave(): void {
    this.#releaseAll(this.#queue.drain());
    if (this.#suspects !== undefined) this.#releaseAll(this.#suspects.drain());
    this.#source.unsubscribe();
  }

  #end(): void {
    this.#phase = OVER;
    this.#prefetch?.stop();
    if (this.#failure === undefined) this.#subscriber.complete();
    else this.#subscriber.error(this.#failure.error);
  }

  /** Requeues everything, since the subscriber has unsubscribed. */
  #leave(): void {
    if (this.#phase === OVER) return;
    this.#phase = OVER;
    this.#suspects?.stop();
    this.#prefetch?.stop();
    for (const worker of this.#workers.busy()) {
      if (worker.ended) this.#finish(worker);
      else this.#settle(this.#workers.abandon(worker), 'release', worker.duration);
    }
    this.#requeueRetries();
    this.#deadLetters.abort();
    this.#releaseAndLeave();
  }
}
