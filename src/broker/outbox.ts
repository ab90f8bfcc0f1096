import { BackendUnavailableError, QueueClosedError, type SluiceError } from '../errors.js';
import { describeError } from '../internal/describe.js';
import { onAbort } from '../internal/on-abort.js';

export interface OutboxOptions {
  readonly queueName: string;
  /** What the broker is called in messages. */
  readonly broker: string;
  /** How long a message may wait to be confirmed, in milliseconds. */
  readonly publishTimeout: number;
  /** Why there is no connection, as far as that is known. */
  readonly trouble: () => unknown;
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

/** A message that has waited no longer, in milliseconds, was sent at once. */
const AT_ONCE = 50;

/**
 * How much is left of the delay of a message, in milliseconds. Those of one turn leave one after the other, and are not to fall due in another order for that: what was sent at once
 * has all of it left, and what had one has some.
 */
export function remainingDelay({ parcel: { delay }, enteredAt }: Pick<Pending<{ readonly delay: number }>, 'parcel' | 'enteredAt'>): number {
  if (delay === 0) return 0;
  const waited = performance.now() - enteredAt;
  return waited < AT_ONCE ? delay : Math.max(1, delay - waited);
}

/** What was published and is not confirmed: what waits to be sent, in order, and what was sent. Gives up what takes too long, or is aborted. */
export class Outbox<Parcel> {
  readonly #options: OutboxOptions;
  /** Those that are over are taken out when somebody looks: one by one, they would cost the square of their number. */
  #waiting: Entry<Parcel>[] = [];
  /** How many of these are over. */
  #stale = 0;
  /** In the order in which they were sent. */
  readonly #sent = new Set<Entry<Parcel>>();
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

  get isEmpty(): boolean {
    return this.#waiting.length - this.#stale + this.#sent.size === 0;
  }

  /** Adds a message at the end. Resolves when it is confirmed; rejects with the reason of the signal if that aborts before it is sent. */
  add(parcel: Parcel, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#abandoned) return Promise.reject(this.#closedBefore('was sent'));
    return new Promise((resolve, reject) => {
      const entry = new Entry(parcel, { resolve, reject, onEnd: () => this.#ended(entry) });
      if (signal !== undefined) entry.ignoreAbort = onAbort(signal, () => this.#abort(entry, signal));
      this.#waiting.push(entry);
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
    }
    return taken;
  }

  /** What was sent and not answered has to be sent again, before what waits. */
  putBack(): void {
    if (this.#sent.size === 0) return;
    this.#waiting = [...this.#sent, ...this.#fresh()];
    this.#sent.clear();
  }

  /** The broker takes none of these, and no second attempt mends that. What was sent before may have been stored. */
  refuse(reason: SluiceError): void {
    for (const entry of [...this.#sent, ...this.#fresh()]) {
      const { message, cause } = reason;
      entry.fail(entry.wasSent ? new BackendUnavailableError(`${message}: it may have been enqueued`, { cause, retryable: false }) : reason);
    }
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
    for (const entry of [...this.#sent, ...this.#fresh()])
      entry.fail(this.#closedBefore(entry.wasSent ? 'was confirmed: it may have been enqueued' : 'was sent'));
    clearTimeout(this.#timer);
  }

  #closedBefore(what: string): QueueClosedError {
    return new QueueClosedError(`Queue "${this.#options.queueName}" was closed before a message ${what}`);
  }

  #abort(entry: Entry<Parcel>, signal: AbortSignal): void {
    // On its way it cannot be called back: then what the broker answers counts.
    if (!entry.wasSent) entry.fail(signal.reason);
  }

  #ended(entry: Entry<Parcel>): void {
    if (!this.#sent.delete(entry)) this.#stale += 1;
    if (this.isEmpty) {
      this.#onEmpty?.();
      this.#onEmpty = undefined;
    }
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
    const first = this.#sent.values().next().value ?? this.#fresh()[0];
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
    const { queueName, broker, publishTimeout, trouble } = this.#options;
    const cause = trouble();
    const reason = cause === undefined ? '' : ` (${describeError(cause)})`;
    const isLate = ({ enteredAt }: Entry<Parcel>) => enteredAt <= enteredBefore;
    for (const entry of [...leading(this.#sent, isLate), ...leading(this.#fresh(), isLate)]) {
      const what = entry.wasSent ? 'it may have been enqueued' : 'it was not enqueued';
      const message = `${broker} did not confirm a message for queue "${queueName}" within ${publishTimeout} ms${reason}: ${what}`;
      entry.fail(new BackendUnavailableError(message, { cause }));
    }
  }
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

interface Ends {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly onEnd: () => void;
}

class Entry<Parcel> implements Pending<Parcel> {
  readonly parcel: Parcel;
  readonly enteredAt = performance.now();
  wasSent = false;
  isOver = false;
  ignoreAbort: (() => void) | undefined;
  readonly #ends: Ends;

  constructor(parcel: Parcel, ends: Ends) {
    this.parcel = parcel;
    this.#ends = ends;
  }

  confirm(): void {
    if (this.#end()) this.#ends.resolve();
  }

  fail(error: unknown): void {
    if (this.#end()) this.#ends.reject(error);
  }

  #end(): boolean {
    if (this.isOver) return false;
    this.isOver = true;
    this.ignoreAbort?.();
    this.#ends.onEnd();
    return true;
  }
}
