import { BackendUnavailableError, QueueClosedError, type SluiceError } from '../errors.js';
import { BlockQueue } from '../internal/block-queue.js';
import { describeError } from '../internal/describe.js';
import { type Linked, LinkedList } from '../internal/linked-list.js';
import { onAbort } from '../internal/on-abort.js';
import type { QueueEvents } from './events.js';

export interface OutboxOptions {
  readonly queueName: string;
  /** What the broker is called in messages. */
  readonly broker: string;
  /** How long a message may wait to be confirmed, in milliseconds. */
  readonly publishTimeout: number;
  /** How many messages may be unconfirmed at a time: those that are published beyond it wait for room. */
  readonly maxPending: number;
  /** Messages that waited for room wait to be sent now. */
  readonly onAdmitted: () => void;
  /** Why there is no connection, as far as that is known. */
  readonly lastError: () => unknown;
  /** A message is confirmed or failed. */
  readonly onSettled?: (() => void) | undefined;
  /** What a message takes of the window. Default: 0. */
  readonly sizeOf?: ((parcel: never) => number) | undefined;
  readonly events?: QueueEvents | undefined;
}

/** A message on its way to the broker. */
export interface Pending<Parcel> {
  readonly parcel: Parcel;
  /** By the clock of `performance`. */
  readonly enteredAt: number;
  /** It was sent, and may have been stored. */
  readonly wasSent: boolean;
  /** It was answered: confirmed, or given up. */
  readonly isOver: boolean;
  /** The broker has it. */
  confirm(): void;
  /** The broker does not take it. */
  fail(error: unknown): void;
}

/** How many promises are rejected in one macrotask: what came at once fails at once, and the event loop is not to stand still meanwhile. */
const SLICE = 1000;

/** A message that has waited no longer, in milliseconds, was sent at once. */
const AT_ONCE = 50;

/**
 * How much is left of the delay of a message, in milliseconds. Those of one turn leave one after the other, and are not to fall due in another order for that: what was sent at once
 * has all of it left, and what had one has some.
 * @param now by `performance.now()`: one moment for all that is sent together
 */
export function remainingDelay(
  { parcel: { delay }, enteredAt }: Pick<Pending<{ readonly delay: number }>, 'parcel' | 'enteredAt'>,
  now: number,
): number {
  if (delay === 0) return 0;
  const waited = now - enteredAt;
  return waited < AT_ONCE ? delay : Math.max(1, delay - waited);
}

/**
 * What was published and is not confirmed: what was sent, what waits to be sent, and the line of what waits for room, in this order. Gives up what takes too long, or
 * is aborted. In line, a message costs its parcel, an entry and its promise.
 */
export class Outbox<Parcel> {
  readonly #options: OutboxOptions;
  /** Those that are over are taken out when somebody looks: one by one, they would cost the square of their number. */
  #waiting: Entry<Parcel>[] = [];
  /** How many of these are over. */
  #stale = 0;
  /** In the order in which they were sent. */
  readonly #sent = new Set<Entry<Parcel>>();
  #sentSize = 0;
  readonly #line = new LinkedList<Entry<Parcel>>();
  #lineLength = 0;
  /** Those that are given up, and whose promises are not rejected yet. */
  readonly #givenUp = new BlockQueue<Entry<Parcel>>();
  #rejecting = false;
  #timer: NodeJS.Timeout | undefined;
  #abandoned = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** What was not sent, or has to be sent again, in order. */
  get waiting(): readonly Pending<Parcel>[] {
    return this.#fresh();
  }

  /** How many messages are sent and not confirmed. */
  get sentCount(): number {
    return this.#sent.size;
  }

  /** The size of these, as `sizeOf` gives it. */
  get sentSize(): number {
    return this.#sentSize;
  }

  get isEmpty(): boolean {
    return this.#pending + this.#lineLength === 0;
  }

  get #pending(): number {
    return this.#waiting.length - this.#stale + this.#sent.size;
  }

  /** Adds a message at the end. Resolves when it is confirmed; rejects with the reason of the signal if that aborts before it is sent. */
  add(parcel: Parcel, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#abandoned) return Promise.reject(this.#closedBefore('was sent'));
    return new Promise((resolve, reject) => {
      const entry = new Entry(parcel, resolve, reject, this.#ended);
      if (signal !== undefined) entry.ignoreAbort = onAbort(signal, () => this.#abort(entry, signal));
      if (this.#lineLength === 0 && this.#pending < this.#options.maxPending) this.#waiting.push(entry);
      else {
        this.#line.append(entry);
        this.#lineLength += 1;
      }
      this.#watchTime();
    });
  }

  /** Takes the first `count` messages that wait: they are sent now. */
  take(count: number): readonly Pending<Parcel>[] {
    const waiting = this.#fresh();
    const taken = count >= waiting.length ? waiting : waiting.splice(0, count);
    if (taken === waiting) this.#waiting = [];
    for (const entry of taken) {
      entry.wasSent = true;
      this.#sent.add(entry);
      this.#sentSize += this.#sizeOf(entry);
    }
    return taken;
  }

  /** What was sent and not answered has to be sent again, before what waits. */
  putBack(): void {
    if (this.#sent.size === 0) return;
    this.#waiting = [...this.#sent, ...this.#fresh()];
    this.#sent.clear();
    this.#sentSize = 0;
  }

  /** The broker takes none of these, and no second attempt mends that. What was sent before may have been stored. */
  refuse(reason: SluiceError): void {
    const { message, cause } = reason;
    const ambiguous = new BackendUnavailableError(`${message}: it may have been enqueued`, { cause, retryable: false });
    this.#giveUp(() => true, { ambiguous, unsent: reason, unplaced: reason });
  }

  /** Resolves when nothing is left. */
  async emptied(): Promise<void> {
    if (this.isEmpty) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  /** The queue is closed: gives up what is not confirmed. */
  abandon(): void {
    this.#abandoned = true;
    const unsent = this.#closedBefore('was sent');
    this.#giveUp(() => true, {
      ambiguous: this.#closedBefore('was confirmed: it may have been enqueued'),
      unsent,
      unplaced: unsent,
    });
    clearTimeout(this.#timer);
  }

  #closedBefore(what: string): QueueClosedError {
    return new QueueClosedError(`Queue ${JSON.stringify(this.#options.queueName)} was closed before a message ${what}`);
  }

  #abort(entry: Entry<Parcel>, signal: AbortSignal): void {
    // On its way it cannot be called back: then what the broker answers counts.
    if (!entry.wasSent) entry.fail(signal.reason);
  }

  readonly #ended = (entry: Entry<Parcel>, failure?: { readonly error: unknown }): void => {
    const { events } = this.#options;
    if (events?.isObserved) {
      if (failure === undefined) events.emit({ type: 'publish confirmed' });
      else events.emit({ type: 'publish failed', error: failure.error });
    }
    if (entry.givenUpFor !== undefined) return;
    if (this.#line.remove(entry)) this.#lineLength -= 1;
    else if (!this.#unsend(entry)) this.#stale += 1;
    this.#changed();
  };

  #sizeOf({ parcel }: Entry<Parcel>): number {
    return this.#options.sizeOf?.(parcel as never) ?? 0;
  }

  #unsend(entry: Entry<Parcel>): boolean {
    if (!this.#sent.delete(entry)) return false;
    this.#sentSize -= this.#sizeOf(entry);
    return true;
  }

  /** There may be room, or nothing left. */
  #changed(): void {
    if (this.#lineLength > 0) this.#admit();
    this.#options.onSettled?.();
    if (this.#onEmpty === undefined || !this.isEmpty) return;
    this.#onEmpty();
    this.#onEmpty = undefined;
  }

  /** Lets in as many as there is room for, first come first served. */
  #admit(): void {
    const { maxPending, onAdmitted } = this.#options;
    const before = this.#lineLength;
    for (let first = this.#line.first; first !== undefined && this.#pending < maxPending; first = this.#line.first) {
      this.#line.remove(first);
      this.#lineLength -= 1;
      this.#waiting.push(first);
    }
    if (this.#lineLength < before) onAdmitted();
  }

  /** Those that wait, without those that are over. */
  #fresh(): Entry<Parcel>[] {
    if (this.#stale > 0) this.#waiting = this.#waiting.filter(({ isOver }) => !isOver);
    this.#stale = 0;
    return this.#waiting;
  }

  /** One timer for all: who came first is out of time first. */
  #watchTime(): void {
    if (this.#timer !== undefined) return;
    const first = this.#sent.values().next().value ?? this.#fresh()[0] ?? this.#line.first;
    if (first === undefined) return;
    const { publishTimeout } = this.#options;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#giveUpLate(performance.now() - publishTimeout);
        this.#watchTime();
      },
      Math.max(1, first.enteredAt + publishTimeout - performance.now()),
    );
  }

  #giveUpLate(enteredBefore: number): void {
    const { queueName, broker, publishTimeout, maxPending, lastError } = this.#options;
    const cause = lastError();
    const reason = cause === undefined ? '' : ` (${describeError(cause)})`;
    const late = `${broker} did not confirm a message for queue ${JSON.stringify(queueName)} within ${publishTimeout} ms${reason}`;
    const full = `Queue ${JSON.stringify(queueName)} had no room for a message within ${publishTimeout} ms: \`maxPending\` of ${maxPending} messages were not confirmed${reason}`;
    this.#giveUp(({ enteredAt }) => enteredAt <= enteredBefore, {
      ambiguous: new BackendUnavailableError(`${late}: it may have been enqueued`, { cause }),
      unsent: new BackendUnavailableError(`${late}: it was not enqueued`, { cause }),
      unplaced: new BackendUnavailableError(`${full}; it was not enqueued`, { cause }),
    });
  }

  /** Gives up those at the beginning for which something holds. One error for all of a kind: to make one costs more than all the rest. */
  #giveUp(holds: (entry: Entry<Parcel>) => boolean, { ambiguous, unsent, unplaced }: GiveUpErrors): void {
    const give = (entry: Entry<Parcel>, error: SluiceError) => {
      entry.givenUpFor = error;
      this.#givenUp.push(entry);
    };
    for (const entry of leading(this.#sent, holds)) {
      this.#unsend(entry);
      give(entry, ambiguous);
    }
    for (const entry of this.#fresh().splice(0, leading(this.#waiting, holds).length))
      give(entry, entry.wasSent ? ambiguous : unsent);
    for (let first = this.#line.first; first !== undefined && holds(first); first = this.#line.first) {
      this.#line.remove(first);
      this.#lineLength -= 1;
      give(first, unplaced);
    }
    this.#changed();
    if (!this.#rejecting) this.#rejectSome();
  }

  #rejectSome(): void {
    for (let count = 0; count < SLICE && this.#givenUp.length > 0; count++) {
      const entry = this.#givenUp.shift();
      entry.fail(entry.givenUpFor);
    }
    this.#rejecting = this.#givenUp.length > 0;
    if (this.#rejecting) setImmediate(() => this.#rejectSome());
  }
}

/** Why messages are given up: those that were sent, those that were not, and those for which there was no room. */
interface GiveUpErrors {
  readonly ambiguous: SluiceError;
  readonly unsent: SluiceError;
  readonly unplaced: SluiceError;
}

/** Those at the beginning for which something holds. */
function leading<Item>(items: Iterable<Item>, holds: (item: Item) => boolean): Item[] {
  const found: Item[] = [];
  for (const item of items) {
    if (!holds(item)) break;
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
  givenUpFor: SluiceError | undefined;
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
