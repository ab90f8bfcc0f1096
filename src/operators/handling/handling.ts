import { type Observable, type Subscriber, Subscription } from 'rxjs';
import type { Delivery } from '../../backend.js';
import type { Credit } from '../../bridge/credit.js';
import { type HandlerTimeoutError, SluiceError, UnrecoverableError } from '../../errors.js';
import { after } from '../../internal/after.js';
import { onAbort } from '../../internal/on-abort.js';
import { Sink, type SourceObserver } from '../../internal/sink.js';
import { clockOf, isVirtual } from '../../internal/virtual-time.js';
import type { Handler } from '../handle-options.js';
import { Attempt, type Lane } from './attempt.js';
import type { BoundHandleOptions } from './bound-options.js';
import { type DeadLetterOwner, DeadLetters, type Lost } from './dead-letters.js';
import { giveBack, logFailure, nothingFollows, retryDelay, tellRejection } from './failures.js';
import { Lanes } from './lanes.js';
import { nextTry } from './next-try.js';
import { OftenDelivered } from './often-delivered.js';
import type { Pace } from './pace.js';
import { CLOSING, OPEN, OVER, type Phase, STOPPING } from './phases.js';
import { type Failure, type Result, Settlements, type SettlementsOwner } from './settlements.js';
import type { Slot, SlotOwner } from './slot.js';
import { Suspects, type SuspectsOwner } from './suspects.js';
import { Workers } from './workers.js';

/**
 * One subscription to `handle`: decides what becomes of each delivery, and when it is over.
 *
 * | the handler                             | the delivery                                           |
 * | --------------------------------------- | ------------------------------------------------------ |
 * | ends                                    | `ack()`                                                |
 * | fails on attempt a, a ≤ `retry.count`   | `nack({ delay })`; in a lane it waits where it is      |
 * | fails on attempt a, a > `retry.count`   | goes to `deadLetter`, then `ack()`; else `reject()`    |
 * | fails with an `UnrecoverableError`      | the same, on any attempt                               |
 * | is not run: attempt > `deliveryLimit`   | goes to `deadLetter`, then `ack()`; else `reject()`    |
 * | settled it by hand                      | is left alone                                          |
 * | runs when the subscriber leaves         | `release()`                                            |
 * | was not started when the end came       | `release()`                                            |
 */
export class Handling implements SourceObserver<Delivery>, SlotOwner, SettlementsOwner, DeadLetterOwner, SuspectsOwner {
  readonly #subscriber: Subscriber<unknown>;
  readonly #options: BoundHandleOptions;
  readonly #source = new Sink<Delivery>(this, true);
  readonly #workers: Workers;
  readonly #lanes = new Lanes();
  readonly #settlements: Settlements;
  readonly #deadLetters: DeadLetters;
  readonly #often: OftenDelivered;
  readonly #pace: Pace | undefined;
  /** Only where there is a limit: without one, nothing is given up for being delivered too often. */
  readonly #suspects: Suspects | undefined;
  /** Deliveries that are tried again where they are, when their timers run out. */
  readonly #retries = new Map<Attempt, Subscription>();
  #phase: Phase = OPEN;
  #sourceEnded = false;
  #failure: Failure | undefined;

  /**
   * @param credit what the source obeys; undefined where it obeys none
   * @param pace sets the credit; undefined where that stays as it is
   */
  constructor(
    subscriber: Subscriber<unknown>,
    handler: Handler,
    options: BoundHandleOptions,
    credit?: Credit,
    pace?: Pace,
  ) {
    const { concurrency, timeout, scheduler, onOutcome, retryCount, deliveryLimit, context } = options;
    this.#subscriber = subscriber;
    this.#options = options;
    this.#workers = new Workers(this, {
      handler,
      concurrency,
      context,
      timeout,
      scheduler,
      virtual: isVirtual(scheduler),
      clock: onOutcome || pace ? clockOf(scheduler) : undefined,
      onStart: pace && ((now) => pace.started(now)),
    });
    this.#settlements = new Settlements(this, options);
    this.#deadLetters = new DeadLetters(this, options);
    this.#often = new OftenDelivered(options);
    this.#pace = pace;
    // One that is delivered more often than it is retried was held when its consumer ended.
    this.#suspects =
      deliveryLimit === Number.POSITIVE_INFINITY
        ? undefined
        : new Suspects(this, { from: retryCount + 2, credit, scheduler });
  }

  get atRest(): boolean {
    return this.#workers.idle && this.#settlements.pending === 0 && this.#retries.size === 0;
  }

  get givenUp(): number {
    return this.#deadLetters.size;
  }

  get hasSlot(): boolean {
    return this.#workers.hasSlot;
  }

  connect(source: Observable<Delivery>): void {
    const { signal } = this.#options;
    if (signal?.aborted) {
      this.#subscriber.complete();
      return;
    }
    const ignoreAbort = onAbort(signal, () => this.#stop());
    this.#subscriber.add(() => {
      ignoreAbort();
      this.#leave();
    });
    source.subscribe(this.#source);
  }

  take(delivery: Delivery): void {
    const { orderBy, deliveryLimit } = this.#options;
    if (this.#phase !== OPEN) this.#hold(delivery);
    else if (delivery.attempt > deliveryLimit) this.#giveUpUnrun(delivery);
    else if (this.#suspects === undefined || this.#suspects.admits(delivery)) {
      this.#often.look(delivery);
      if (orderBy === undefined) this.#offer(new Attempt(delivery, undefined));
      else this.#enterLane(delivery, orderBy);
    }
  }

  exhaust(failure?: Failure): void {
    this.#sourceEnded = true;
    this.#failure = failure;
    if (failure === undefined) this.#endIfDone();
    else this.#stop();
  }

  emit(value: unknown): void {
    this.#workers.timePasses();
    this.#subscriber.next(value);
  }

  gone(attempt: Attempt): void {
    this.release(attempt);
    this.#suspects?.over(attempt);
  }

  ended(slot: Slot): void {
    this.#settleEnded(slot);
    this.#workers.free(slot);
    this.moveOn();
  }

  timedOut(slot: Slot, attempt: Attempt, error: HandlerTimeoutError): void {
    this.#failed(attempt, error, this.#workers.durationOf(slot));
    this.#suspects?.over(attempt);
    this.#workers.discard(slot);
    this.moveOn();
  }

  concluded(attempt: Attempt, value: unknown): void {
    if (attempt.lane !== undefined) this.#leaveLane(attempt, attempt.lane);
    if (value !== undefined) this.emit(value);
  }

  moveOn(): void {
    this.#workers.pump();
    this.#suspects?.advance();
    if (this.#workers.running === 0) this.#endIfDone();
  }

  release(attempt: Attempt): void {
    this.#release({ attempt, duration: 0 });
  }

  releaseFollowers(): void {
    // As attempts of no lane: they have left theirs.
    for (const { delivery } of this.#lanes.takeFollowers()) this.release(new Attempt(delivery, undefined));
  }

  runAlone(attempt: Attempt): void {
    this.#workers.startAlone(attempt);
  }

  resumeHandlers(): void {
    this.#workers.resume();
  }

  deadLettered({ attempt, error, duration }: Lost): void {
    this.#settlements.settle({ attempt, status: 'dead-lettered', duration, failure: { error } }, 'ack');
    this.moveOn();
  }

  refused({ attempt, error, duration }: Lost, reason: string): void {
    this.#settlements.settle({ attempt, status: 'rejected', duration, failure: { error } }, 'quarantine', reason);
    this.moveOn();
  }

  undeliverable({ attempt, error, duration }: Lost): void {
    this.#release({ attempt, duration, failure: { error } });
    this.moveOn();
  }

  /** It comes when no more handlers are started. */
  #hold(delivery: Delivery): void {
    if (this.#phase === STOPPING) this.#workers.enqueue(new Attempt(delivery, undefined));
    else giveBack(delivery, this.#options.logger);
  }

  #enterLane(delivery: Delivery, orderBy: (delivery: Delivery) => unknown): void {
    let key: unknown;
    try {
      key = orderBy(delivery);
    } catch (error) {
      this.#failed(new Attempt(delivery, undefined), error, 0);
      return;
    }
    // It may have stopped us.
    if (this.#phase !== OPEN) {
      this.#hold(delivery);
      return;
    }
    const lane = this.#lanes.of(key);
    const attempt = new Attempt(delivery, lane);
    if (this.#lanes.enter(attempt, lane)) this.#offer(attempt);
  }

  /** An attempt that waits for nothing but a handler. */
  #offer(attempt: Attempt): void {
    if (this.#suspects?.suspects(attempt.delivery)) this.#suspects.add(attempt);
    else this.#workers.offer(attempt);
  }

  #leaveLane(attempt: Attempt, lane: Lane): void {
    // Later, who waits in a lane is no longer in line for a handler.
    if (this.#phase >= CLOSING) return;
    const next = this.#lanes.leave(attempt, lane);
    if (next === undefined) return;
    if (this.#suspects?.suspects(next.delivery)) this.#suspects.add(next);
    else this.#workers.enqueue(next);
  }

  /** A handler has ended by itself. Its slot is not free before this is done, so that nothing overtakes its result. */
  #settleEnded(slot: Slot): void {
    const { failed, result } = slot;
    const attempt = slot.attempt as Attempt;
    slot.attempt = undefined;
    slot.result = undefined;
    if (failed) this.#failed(attempt, result, this.#workers.durationOf(slot));
    else this.#settlements.ack(attempt, this.#workers.durationOf(slot), result);
    this.#suspects?.over(attempt);
  }

  #failed(attempt: Attempt, error: unknown, duration: number): void {
    const { delivery } = attempt;
    const { retryCount, logger } = this.#options;
    if (delivery.settled) {
      logFailure(logger, 'warn', 'A handler failed', delivery, error, nothingFollows(delivery));
      this.#release({ attempt, duration, failure: { error } });
    } else if (delivery.attempt <= retryCount && !UnrecoverableError.is(error)) this.#retry(attempt, error, duration);
    else this.#giveUp(attempt, error, duration);
  }

  #retry(attempt: Attempt, error: unknown, duration: number): void {
    const { delivery, lane } = attempt;
    const { logger, scheduler } = this.#options;
    const delay = retryDelay(this.#options, delivery, error, delivery.attempt);
    const result: Result = { attempt, status: 'retried', duration, failure: { error } };
    const soon = `next try in ${Math.round(delay)} ms`;
    if (lane === undefined) {
      logFailure(logger, 'warn', 'A handler failed', delivery, error, soon);
      this.#settlements.settle(result, 'nack', { delay });
    } else if (this.#phase !== OPEN) {
      logFailure(logger, 'warn', 'A handler failed', delivery, error, 'it goes back to the queue');
      // At once: what is behind it in its lane goes back too, and is not to overtake it.
      this.#settlements.settle(result, 'nack');
    } else {
      // Before anybody hears of it, who may stop us: a stop has to find it here.
      const timer = new Subscription();
      this.#retries.set(attempt, timer);
      // Some schedulers run what has no delay within the call.
      timer.add(after(scheduler, delay, () => this.#tryAgain(attempt, lane)));
      logFailure(logger, 'warn', 'A handler failed', delivery, error, soon);
      this.#settlements.report(attempt, 'retried', duration, { error });
    }
  }

  #tryAgain(attempt: Attempt, lane: Lane): void {
    this.#retries.delete(attempt);
    const { delivery } = attempt;
    if (delivery.settled) {
      tellRejection(this.#options.logger, delivery);
      this.#leaveLane(attempt, lane);
    } else {
      const next = new Attempt(nextTry(delivery), lane);
      this.#lanes.replace(attempt, next, lane);
      this.#workers.enqueue(next);
    }
    this.moveOn();
  }

  /** Those that wait for another try do not get it here. */
  #giveBackRetries(): void {
    for (const [attempt, timer] of this.#retries) {
      timer.unsubscribe();
      this.#retries.delete(attempt);
      this.#settlements.settle({ attempt, status: 'retried', duration: 0, reported: true }, 'nack');
    }
  }

  #giveUpUnrun(delivery: Delivery): void {
    const { deliveryLimit } = this.#options;
    const error = new SluiceError(
      `Delivered ${delivery.attempt} times, more often than the \`deliveryLimit\` of ${deliveryLimit} allows`,
    );
    this.#giveUp(new Attempt(delivery, undefined), error, 0);
  }

  #giveUp(attempt: Attempt, error: unknown, duration: number): void {
    const { delivery } = attempt;
    const { deadLetter, logger } = this.#options;
    if (deadLetter === undefined) {
      logFailure(logger, 'error', 'A message is given up', delivery, error, 'it is rejected');
      this.#settlements.settle({ attempt, status: 'rejected', duration, failure: { error } }, 'reject', error);
    } else {
      const next =
        this.#phase === OVER ? 'it goes back to the queue, since its consumer has left' : 'it goes to the dead letters';
      logFailure(logger, 'warn', 'A message is given up', delivery, error, next);
      this.#deadLetter({ attempt, error, duration });
    }
  }

  #deadLetter(lost: Lost): void {
    if (this.#phase === OVER) this.undeliverable(lost);
    else {
      this.#deadLetters.send(lost);
      this.#suspects?.gaveUp();
    }
  }

  #release(result: Omit<Result, 'status'>): void {
    this.#settlements.settle({ ...result, status: 'released' }, 'release');
  }

  /** Releases what was not started, one by one: each outcome may make the subscriber leave, and what is held then would count as failed. */
  #releaseHeld(): void {
    for (const held of [this.#workers.drain(), this.#lanes.takeFollowers(), this.#suspects?.drain() ?? []]) {
      for (const attempt of held) this.release(attempt);
    }
  }

  /** Starts no more. */
  #stop(): void {
    if (this.#phase !== OPEN) return;
    this.#phase = STOPPING;
    this.#startNoMore();
    this.#giveBackRetries();
    this.#deadLetters.stop();
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (
      this.#workers.running > 0 ||
      this.#settlements.pending > 0 ||
      this.#retries.size > 0 ||
      this.#deadLetters.size > 0
    )
      return;
    if (this.#phase === OPEN && this.#sourceEnded && this.#workers.idle && this.#suspects?.idle !== false) this.#end();
    else if (this.#phase === STOPPING) this.#close();
    else if (this.#phase === CLOSING) this.#end();
  }

  /** Nothing is under way any more: gives back what is held, and leaves the source. */
  #close(): void {
    this.#phase = CLOSING;
    // First this: what is held when the source is left would count as failed.
    this.#releaseHeld();
    this.#source.unsubscribe();
    this.#endIfDone();
  }

  #startNoMore(): void {
    this.#workers.close();
    this.#suspects?.stop();
    this.#pace?.stop();
  }

  #end(): void {
    this.#phase = OVER;
    this.#pace?.stop();
    if (this.#failure === undefined) this.#subscriber.complete();
    else this.#subscriber.error(this.#failure.error);
  }

  /** The subscriber has left. */
  #leave(): void {
    if (this.#phase === OVER) return;
    this.#phase = OVER;
    this.#startNoMore();
    for (const slot of this.#workers.busy()) {
      if (slot.over) this.#settleEnded(slot);
      else this.#abandon(slot);
    }
    this.#giveBackRetries();
    this.#deadLetters.abort();
    this.#releaseHeld();
    this.#source.unsubscribe();
  }

  #abandon(slot: Slot): void {
    const attempt = slot.attempt as Attempt;
    slot.abandon(undefined);
    this.#release({ attempt, duration: this.#workers.durationOf(slot) });
  }
}
