import type { Subscription } from 'rxjs';
import { InvalidMessageError } from '../../errors.js';
import { after } from '../../internal/after.js';
import { whenDone } from '../../internal/answers.js';
import { headersOf, LONGEST_ERRORS, textOf } from '../../internal/dead-letter-headers.js';
import { logFailure } from '../../internal/delivery-log.js';
import { groupOf, isQuarantinable, storedOf } from '../../internal/delivery-symbols.js';
import { metadataOf } from '../../internal/metadata.js';
import type { OutcomeStatus } from '../../internal/outcome.js';
import type { CheckedHandleOptions, HandlerContext } from '../handle-options.js';
import { Attempt, type Ending, type Failure } from './attempt.js';
import { retryDelay } from './retry.js';
import { endingOf, type SettlementMethod } from './settle.js';

/** The shortest delay before a dead letter is retried, in milliseconds. */
const SHORTEST_DELAY = 1000;

/** Settles an attempt whose dead-lettering has ended. */
export type OnDeadLetterEnd = (attempt: Attempt, method: SettlementMethod, ending: Ending, argument?: unknown) => void;

interface DeadLetter {
  readonly attempt: Attempt;
  /** How long its last attempt took, in milliseconds, and why it failed. */
  readonly duration: number;
  readonly failure: Failure;
  /** How many tries have failed. */
  failures: number;
  /** How often the queue has refused the message as invalid. Each time, it is shortened. */
  refusals: number;
  /** The context of the current try. */
  current: Attempt | undefined;
  /** Fires when the next try is due. */
  timer: Subscription | undefined;
}

/**
 * Delivers dead letters, and retries until each one is delivered. The deliveries stay in flight
 * meanwhile, so that no message is lost.
 */
export class DeadLetters {
  readonly #options: CheckedHandleOptions;
  readonly #onEnd: OnDeadLetterEnd;
  readonly #letters = new Set<DeadLetter>();
  #stopped = false;

  constructor(options: CheckedHandleOptions, onEnd: OnDeadLetterEnd) {
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** How many are not delivered yet. */
  get size(): number {
    return this.#letters.size;
  }

  send(attempt: Attempt, duration: number, failure: Failure): void {
    const letter: DeadLetter = {
      attempt,
      duration,
      failure,
      failures: 0,
      refusals: 0,
      current: undefined,
      timer: undefined,
    };
    this.#letters.add(letter);
    this.#try(letter);
  }

  /** Starts no more tries, and releases the deliveries that wait for one. */
  stop(): void {
    this.#stopped = true;
    for (const letter of this.#letters) {
      if (letter.current === undefined) this.#release(letter);
    }
  }

  /** Stops, and aborts the current tries. */
  abort(): void {
    this.#stopped = true;
    for (const letter of this.#letters) {
      const { current } = letter;
      this.#release(letter);
      current?.abort(undefined);
    }
  }

  #try(letter: DeadLetter): void {
    const { delivery } = letter.attempt;
    // Another consumer may have the message by now.
    if (delivery.settled) {
      this.#release(letter);
      return;
    }
    const current = new Attempt(delivery);
    letter.current = current;
    letter.timer = undefined;
    const ended = (then: () => void) => {
      if (letter.current !== current) return;
      letter.current = undefined;
      then();
    };
    whenDone(
      () => this.#deliver(letter, current),
      () => ended(() => this.#end(letter, 'ack', undefined, 'dead-lettered')),
      (error) =>
        ended(() => (InvalidMessageError.is(error) ? this.#refused(letter, error) : this.#failed(letter, error))),
    );
  }

  #deliver({ attempt, failure, refusals }: DeadLetter, context: HandlerContext): Promise<void> | void {
    const { deadLetter, group } = this.#options;
    const { delivery } = attempt;
    const { error } = failure;
    if (typeof deadLetter === 'function') return deadLetter(delivery, error, context);
    // What consumers see may not be what a queue can store: a transformed or decrypted payload.
    const stored = storedOf(delivery);
    const headers = headersOf(delivery, stored, error, groupOf(delivery) ?? group, LONGEST_ERRORS[refusals]);
    return deadLetter?.publish(stored.key, stored.payload, {
      ...metadataOf(stored),
      headers,
      signal: context.signal,
    });
  }

  /** An invalid message stays invalid: tries a shorter one at once, or quarantines the message. */
  #refused(letter: DeadLetter, refusal: InvalidMessageError): void {
    const { deadLetter, logger } = this.#options;
    if (typeof deadLetter !== 'function' && letter.refusals++ < LONGEST_ERRORS.length) {
      this.#try(letter);
      return;
    }
    const { delivery } = letter.attempt;
    const next = isQuarantinable(storedOf(delivery)) ? 'it is quarantined' : 'it is rejected';
    logFailure(logger, 'error', 'A message cannot be dead-lettered', delivery, refusal, next);
    const reason = `it cannot be dead-lettered (${textOf(refusal)}) after its handler failed (${textOf(letter.failure.error)})`;
    this.#end(letter, 'quarantine', reason);
  }

  #failed(letter: DeadLetter, error: unknown): void {
    const { logger, scheduler } = this.#options;
    const { delivery } = letter.attempt;
    const delay = Math.max(SHORTEST_DELAY, retryDelay(this.#options, delivery, error, ++letter.failures));
    // `retry.delay` may have unsubscribed.
    if (!this.#letters.has(letter)) return;
    const tryAgain = !this.#stopped && !delivery.settled;
    // Before the log line: the logger may stop the consumer, and `stop` must find the timer.
    if (tryAgain) letter.timer = after(scheduler, delay, () => this.#try(letter));
    const next = tryAgain ? `it stays in the queue, next try in ${Math.round(delay)} ms` : 'it is requeued';
    logFailure(logger, 'error', 'A dead letter could not be delivered', delivery, error, next);
    if (!tryAgain) this.#release(letter);
  }

  #release(letter: DeadLetter): void {
    letter.timer?.unsubscribe();
    letter.current = undefined;
    this.#end(letter, 'release');
  }

  /** Ends a dead letter, unless the logger or a callback has ended it. */
  #end(letter: DeadLetter, method: SettlementMethod, argument?: unknown, status?: OutcomeStatus): void {
    if (!this.#letters.delete(letter)) return;
    const ending = endingOf(method, letter.duration, letter.failure);
    this.#onEnd(letter.attempt, method, status === undefined ? ending : { ...ending, status }, argument);
  }
}
