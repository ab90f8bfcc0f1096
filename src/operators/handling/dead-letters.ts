import type { Subscription } from 'rxjs';
import type { ConsumerGroup, Delivery, MessageHeaders } from '../../backend.js';
import { InvalidMessageError } from '../../errors.js';
import { after } from '../../internal/after.js';
import { whenDone } from '../../internal/answers.js';
import { describeError } from '../../internal/describe.js';
import { groupOf } from '../../internal/group-of.js';
import { isQuarantinable } from '../../internal/quarantine.js';
import type { CheckedHandleOptions, HandlerContext } from '../handle-options.js';
import { Attempt } from './attempt.js';
import { logFailure, retryDelay } from './failures.js';

/** The least time between two tries at one dead letter, in milliseconds. */
const SHORTEST_PAUSE = 1000;

/**
 * How much of an error's text goes into a header, in UTF-16 code units: at first, and once the queue has refused the message, which may leave less room.
 * Past the end the dead letter goes without headers of ours.
 */
const LONGEST_ERRORS = [1000, 100];

/** A delivery that was given up. */
export interface Lost {
  readonly attempt: Attempt;
  readonly error: unknown;
  readonly duration: number;
}

export interface DeadLetterOwner {
  /** It has arrived where it goes. */
  deadLettered(lost: Lost): void;
  /** Its destination will never take it, for a reason in words. */
  refused(lost: Lost, reason: string): void;
  /** It could not be delivered, and is not tried again. */
  undeliverable(lost: Lost): void;
}

interface Entry extends Lost {
  /** How many tries have failed. */
  failures: number;
  /** How often the dead letter was refused as invalid, and has been shortened since. */
  refusals: number;
  /** The try that is under way. */
  current: Attempt | undefined;
  /** Runs out when it is tried again. */
  timer: Subscription | undefined;
}

/** Delivers what was given up to where it goes, for as long as it takes. The delivery stays out meanwhile, so that nothing is lost in between. */
export class DeadLetters {
  readonly #owner: DeadLetterOwner;
  readonly #options: CheckedHandleOptions;
  readonly #entries = new Set<Entry>();
  #stopped = false;

  constructor(owner: DeadLetterOwner, options: CheckedHandleOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  /** How many are not delivered yet: they wait for a try, or one is under way. */
  get size(): number {
    return this.#entries.size;
  }

  send(lost: Lost): void {
    const entry: Entry = { ...lost, failures: 0, refusals: 0, current: undefined, timer: undefined };
    this.#entries.add(entry);
    this.#try(entry);
  }

  /** Tries nothing again: those that wait for it come back as undeliverable. */
  stop(): void {
    this.#stopped = true;
    for (const entry of this.#entries) {
      if (entry.current === undefined) this.#giveBack(entry);
    }
  }

  /** Stops, and aborts the tries that are under way. */
  abort(): void {
    this.#stopped = true;
    for (const entry of this.#entries) {
      const { current } = entry;
      this.#giveBack(entry);
      current?.abort(undefined);
    }
  }

  #try(entry: Entry): void {
    const { delivery } = entry.attempt;
    // It may have gone to another consumer meanwhile.
    if (delivery.settled) {
      this.#giveBack(entry);
      return;
    }
    const current = new Attempt(delivery, undefined);
    entry.current = current;
    entry.timer = undefined;
    const ended = (then: () => void) => {
      // It may have been aborted before.
      if (entry.current !== current) return;
      entry.current = undefined;
      then();
    };
    whenDone(
      () => this.#deliver(entry, current),
      () =>
        ended(() => {
          this.#entries.delete(entry);
          this.#owner.deadLettered(entry);
        }),
      (error) =>
        ended(() => (InvalidMessageError.is(error) ? this.#invalid(entry, error) : this.#failed(entry, error))),
    );
  }

  #deliver({ attempt: { delivery }, error, refusals }: Entry, context: HandlerContext): Promise<void> | void {
    const { deadLetter, group } = this.#options;
    if (typeof deadLetter === 'function') return deadLetter(delivery, error, context);
    const headers = headersOf(delivery, error, groupOf(delivery) ?? group, LONGEST_ERRORS[refusals]);
    return deadLetter?.publish(delivery.key, delivery.payload, { headers, signal: context.signal });
  }

  /** The same message is invalid the next time too: tries a shorter one at once, or ends it. */
  #invalid(entry: Entry, refusal: InvalidMessageError): void {
    const { deadLetter, logger } = this.#options;
    if (typeof deadLetter !== 'function' && entry.refusals++ < LONGEST_ERRORS.length) {
      this.#try(entry);
      return;
    }
    const { delivery } = entry.attempt;
    const next = isQuarantinable(delivery) ? 'it goes to quarantine' : 'it is rejected';
    logFailure(logger, 'error', 'A message cannot be dead-lettered', delivery, refusal, next);
    // The logger may have had it given back.
    if (!this.#entries.delete(entry)) return;
    this.#owner.refused(
      entry,
      `it cannot be dead-lettered (${textOf(refusal)}) after its handler failed (${textOf(entry.error)})`,
    );
  }

  #failed(entry: Entry, error: unknown): void {
    const { logger, scheduler } = this.#options;
    const { delivery } = entry.attempt;
    const delay = Math.max(SHORTEST_PAUSE, retryDelay(this.#options, delivery, error, ++entry.failures));
    // It may have been given back from inside `retry.delay`.
    if (!this.#entries.has(entry)) return;
    const tryAgain = !this.#stopped && !delivery.settled;
    // Before anybody hears of it, who may stop us: a stop has to find it here.
    if (tryAgain) entry.timer = after(scheduler, delay, () => this.#try(entry));
    const next = tryAgain ? `it stays in the queue, next try in ${Math.round(delay)} ms` : 'it goes back to the queue';
    logFailure(logger, 'error', 'The dead letter could not be delivered', delivery, error, next);
    if (!tryAgain) this.#giveBack(entry);
  }

  #giveBack(entry: Entry): void {
    entry.timer?.unsubscribe();
    entry.current = undefined;
    this.#entries.delete(entry);
    this.#owner.undeliverable(entry);
  }
}

/** The headers of a dead letter that say what happened. They replace those of an earlier time. */
const OURS = new Set(['sluice-error', 'sluice-attempts', 'sluice-queue', 'sluice-group']);

/**
 * The headers of a dead letter: those of the message, and what it failed with, how often it was tried, and where it comes from.
 * @param group where it failed; undefined if that is not known
 * @param longest how much of the error they tell; undefined: they tell nothing
 */
function headersOf(
  { headers, attempt, queue }: Delivery,
  error: unknown,
  group: ConsumerGroup | undefined,
  longest: number | undefined,
): MessageHeaders {
  const others = Object.fromEntries(Object.entries({ ...headers }).filter(([name]) => !OURS.has(name)));
  if (longest === undefined) return others;
  const about = { 'sluice-error': textOf(error, longest), 'sluice-attempts': String(attempt), 'sluice-queue': queue };
  return { ...others, ...about, ...(group !== undefined && { 'sluice-group': group }) };
}

/** An error as a header can hold it: not too long, and without half a character, which no backend takes. */
function textOf(error: unknown, longest = LONGEST_ERRORS[0]): string {
  return describeError(error)
    .slice(0, longest)
    .replaceAll(/\p{Surrogate}/gu, '\ufffd');
}
