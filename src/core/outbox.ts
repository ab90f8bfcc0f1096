import { BackendUnavailableError, QueueClosedError, QueueNotFoundError, type SluiceError } from '../errors.js';
import { BlockQueue } from '../internal/block-queue.js';
import { describeError } from '../internal/describe.js';
import { type Linked, LinkedList } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import type { QueueEvents } from './events.js';

export interface OutboxOptions {
  readonly queueName: string;
  /** The name of the engine in messages, such as `Redis`. */
  readonly engine: string;
  /** The deadline of a confirm, in milliseconds. */
  readonly publishTimeout: number;
  /** How many messages may be unconfirmed. Further messages wait for admission. */
  readonly maxPending: number;
  /** Admitted messages wait to be sent now. */
  readonly onAdmitted: () => void;
  /** Why there is no connection. Undefined if the reason is unknown. */
  readonly lastError: () => unknown;
  /** Called when a message is confirmed or failed. */
  readonly onSettled?: (() => void) | undefined;
  /** The share of a message in the window. Default: 0. */
  readonly sizeOf?: ((parcel: never) => number) | undefined;
  readonly events?: QueueEvents | undefined;
}

/** A published message that is not confirmed. */
export interface Pending<Parcel> {
  readonly parcel: Parcel;
  /** As `performance.now()`. */
  readonly enteredAt: number;
  /** The message was sent, so the engine may have stored it. */
  readonly wasSent: boolean;
  /** The message was confirmed, or has failed. */
  readonly isOver: boolean;
  confirm(): void;
  fail(error: unknown): void;
}

/**
 * How many promises are rejected in one macrotask, so that a mass failure does not block the event
 * loop.
 */
const SLICE = 1000;

/** A message that has waited less than this counts as sent immediately, in milliseconds. */
const IMMEDIATE = 50;

/**
 * Returns the remaining delay of a message, in milliseconds. Messages of one turn must become due
 * in order, although they are sent one after the other. So a message that is sent immediately keeps
 * its full delay, and a delay never shrinks to 0.
 * @param now as `performance.now()`, once for all messages that are sent together
 */
export function remainingDelay(
  { parcel: { delay }, enteredAt }: Pick<Pending<{ readonly delay: number }>, 'parcel' | 'enteredAt'>,
  now: number,
): number {
  if (delay === 0) return 0;
  const waited = now - enteredAt;
  return waited < IMMEDIATE ? delay : Math.max(1, delay - waited);
}

/**
 * The unconfirmed messages: the sent ones, those that wait to be sent, and those that wait for
 * admission, in this order. Fails messages that time out or are aborted. A message that waits for
 * admission costs its parcel, an entry and its promise.
 */
export class Outbox<Parcel> {
  readonly #options: OutboxOptions;
  /** Contains settled entries until the next read: removing each one would take quadratic time. */
  #waiting: Entry<Parcel>[] = [];
  /** How many of these are settled. */
  #stale = 0;
  /** In the order of sending. */
  readonly #sent = new Set<Entry<Parcel>>();
  #sentSize = 0;
  readonly #admission = new LinkedList<Entry<Parcel>>();
  #admissionLength = 0;
  /** Failed entries whose promises are not rejected yet. */
  readonly #failed = new BlockQueue<Entry<Parcel>>();
  #rejecting = false;
  #timer: NodeJS.Timeout | undefined;
  #abandoned = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** The messages to send, or to send again, in order. */
  get waiting(): readonly Pending<Parcel>[] {
    return this.#unsettled();
  }

  /** How many messages are sent and not confirmed. */
  get sentCount(): number {
    return this.#sent.size;
  }

  /** Their size, by `sizeOf`. */
  get sentSize(): number {
    return this.#sentSize;
  }

  get isEmpty(): boolean {
    return this.#pending + this.#admissionLength === 0;
  }

  get #pending(): number {
    return this.#waiting.length - this.#stale + this.#sent.size;
  }

  /**
   * Adds a message. Resolves when it is confirmed. Rejects with the reason of the signal if that
   * aborts before the message is sent.
   */
  add(parcel: Parcel, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#abandoned) return Promise.reject(this.#closedBefore('was sent'));
    return new Promise((resolve, reject) => {
      const entry = new Entry(parcel, resolve, reject, this.#ended);
      if (signal !== undefined) entry.ignoreAbort = onAbort(signal, () => this.#abort(entry, signal));
      if (this.#admissionLength === 0 && this.#pending < this.#options.maxPending) this.#waiting.push(entry);
      else {
        this.#admission.append(entry);
        this.#admissionLength += 1;
      }
      this.#watchTime();
    });
  }

  /** Takes the first `count` messages to send. */
  take(count: number): readonly Pending<Parcel>[] {
    const waiting = this.#unsettled();
    const taken = count >= waiting.length ? waiting : waiting.splice(0, count);
    if (taken === waiting) this.#waiting = [];
    for (const entry of taken) {
      entry.wasSent = true;
      this.#sent.add(entry);
      this.#sentSize += this.#sizeOf(entry);
    }
    return taken;
  }

  /** Puts the sent, unconfirmed messages back, before those that wait: they are sent again. */
  putBack(): void {
    if (this.#sent.size === 0) return;
    this.#waiting = [...this.#sent, ...this.#unsettled()];
    this.#sent.clear();
    this.#sentSize = 0;
  }

  /**
   * Fails all messages with a fatal error. Those that were sent may have been stored, unless the
   * queue does not exist.
   */
  refuse(reason: SluiceError): void {
    const { message, cause } = reason;
    const ambiguous = QueueNotFoundError.is(reason)
      ? reason
      : new BackendUnavailableError(`${message}: it may have been enqueued`, { cause, retryable: false });
    this.#failLeading(() => true, { ambiguous, unsent: reason, unadmitted: reason });
  }

  /** Resolves when no message is left. */
  async emptied(): Promise<void> {
    if (this.isEmpty) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  /** Fails all messages, because the queue is closed. */
  abandon(): void {
    this.#abandoned = true;
    const unsent = this.#closedBefore('was sent');
    this.#failLeading(() => true, {
      ambiguous: this.#closedBefore('was confirmed: it may have been enqueued'),
      unsent,
      unadmitted: unsent,
    });
    clearTimeout(this.#timer);
  }

  #closedBefore(what: string): QueueClosedError {
    return new QueueClosedError(`Queue ${JSON.stringify(this.#options.queueName)} was closed before a message ${what}`);
  }

  #abort(entry: Entry<Parcel>, signal: AbortSignal): void {
    // A sent message cannot be aborted: the confirm decides.
    if (!entry.wasSent) entry.fail(signal.reason);
  }

  readonly #ended = (entry: Entry<Parcel>, failure?: { readonly error: unknown }): void => {
    const { events } = this.#options;
    if (events?.isObserved) {
      if (failure === undefined) events.emit({ type: 'publish confirmed' });
      else events.emit({ type: 'publish failed', error: failure.error });
    }
    if (entry.failure !== undefined) return;
    if (!this.#removeFromAdmission(entry) && !this.#removeSent(entry)) this.#stale += 1;
    this.#changed();
  };

  #sizeOf({ parcel }: Entry<Parcel>): number {
    return this.#options.sizeOf?.(parcel as never) ?? 0;
  }

  #removeFromAdmission(entry: Entry<Parcel>): boolean {
    if (!this.#admission.remove(entry)) return false;
    this.#admissionLength -= 1;
    return true;
  }

  #removeSent(entry: Entry<Parcel>): boolean {
    if (!this.#sent.delete(entry)) return false;
    this.#sentSize -= this.#sizeOf(entry);
    return true;
  }

  /** A message was settled: admits others, and resolves `emptied`. */
  #changed(): void {
    if (this.#admissionLength > 0) this.#admit();
    this.#options.onSettled?.();
    if (this.#onEmpty === undefined || !this.isEmpty) return;
    this.#onEmpty();
    this.#onEmpty = undefined;
  }

  /** Admits messages in order, up to `maxPending`. */
  #admit(): void {
    const { maxPending, onAdmitted } = this.#options;
    const before = this.#admissionLength;
    for (let first = this.#admission.first; first && this.#pending < maxPending; first = this.#admission.first) {
      this.#removeFromAdmission(first);
      this.#waiting.push(first);
    }
    if (this.#admissionLength < before) onAdmitted();
  }

  /** The waiting messages, without settled entries. */
  #unsettled(): Entry<Parcel>[] {
    if (this.#stale > 0) this.#waiting = this.#waiting.filter(({ isOver }) => !isOver);
    this.#stale = 0;
    return this.#waiting;
  }

  /** One timer for all messages: the oldest one times out first. */
  #watchTime(): void {
    if (this.#timer !== undefined) return;
    const first = this.#sent.values().next().value ?? this.#unsettled()[0] ?? this.#admission.first;
    if (first === undefined) return;
    const { publishTimeout } = this.#options;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#failLate(performance.now() - publishTimeout);
        this.#watchTime();
      },
      Math.max(1, first.enteredAt + publishTimeout - performance.now()),
    );
  }

  #failLate(enteredBefore: number): void {
    const { queueName, engine, publishTimeout, maxPending, lastError } = this.#options;
    const cause = lastError();
    const reason = cause === undefined ? '' : ` (${describeError(cause)})`;
    const late = `${engine} did not confirm a message for queue ${JSON.stringify(queueName)} within ${publishTimeout} ms${reason}`;
    const full = `Queue ${JSON.stringify(queueName)} had no room for a message within ${publishTimeout} ms: \`maxPending\` of ${maxPending} messages were not confirmed${reason}`;
    this.#failLeading(({ enteredAt }) => enteredAt <= enteredBefore, {
      ambiguous: new BackendUnavailableError(`${late}: it may have been enqueued`, { cause }),
      unsent: new BackendUnavailableError(`${late}: it was not enqueued`, { cause }),
      unadmitted: new BackendUnavailableError(`${full}; it was not enqueued`, { cause }),
    });
  }

  /**
   * Fails the leading messages that match. All of a kind share one error: creating an error is the
   * greatest cost.
   */
  #failLeading(matches: (entry: Entry<Parcel>) => boolean, { ambiguous, unsent, unadmitted }: FailureErrors): void {
    const fail = (entry: Entry<Parcel>, error: SluiceError) => {
      entry.failure = error;
      this.#failed.push(entry);
    };
    for (const entry of leading(this.#sent, matches)) {
      this.#removeSent(entry);
      fail(entry, ambiguous);
    }
    for (const entry of this.#unsettled().splice(0, leading(this.#waiting, matches).length))
      fail(entry, entry.wasSent ? ambiguous : unsent);
    for (let first = this.#admission.first; first && matches(first); first = this.#admission.first) {
      this.#removeFromAdmission(first);
      fail(first, unadmitted);
    }
    this.#changed();
    if (!this.#rejecting) this.#rejectSlice();
  }

  #rejectSlice(): void {
    for (let count = 0; count < SLICE && this.#failed.length > 0; count++) {
      const entry = this.#failed.shift();
      entry.fail(entry.failure);
    }
    this.#rejecting = this.#failed.length > 0;
    if (this.#rejecting) setImmediate(() => this.#rejectSlice());
  }
}

/** The errors for sent messages, for unsent ones, and for those that were not admitted. */
interface FailureErrors {
  readonly ambiguous: SluiceError;
  readonly unsent: SluiceError;
  readonly unadmitted: SluiceError;
}

/** Returns the leading items that match. */
function leading<Item>(items: Iterable<Item>, matches: (item: Item) => boolean): Item[] {
  const found: Item[] = [];
  for (const item of items) {
    if (!matches(item)) break;
    found.push(item);
  }
  return found;
}

class Entry<Parcel> implements Pending<Parcel>, Linked {
  readonly parcel: Parcel;
  readonly enteredAt = performance.now();
  wasSent = false;
  isOver = false;
  ignoreAbort: (() => void) | undefined;
  failure: SluiceError | undefined;
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  readonly #onEnd: (entry: Entry<Parcel>, failure?: { readonly error: unknown }) => void;

  constructor(
    parcel: Parcel,
    resolve: () => void,
    reject: (error: unknown) => void,
    onEnd: (entry: Entry<Parcel>, failure?: { readonly error: unknown }) => void,
  ) {
    this.parcel = parcel;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onEnd = onEnd;
  }

  confirm(): void {
    if (this.#end()) this.#resolve();
  }

  fail(error: unknown): void {
    if (this.#end({ error })) this.#reject(error);
  }

  #end(failure?: { readonly error: unknown }): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    this.ignoreAbort?.();
    this.#onEnd(this, failure);
    return true;
  }
}
