import { randomBytes } from 'node:crypto';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import { BackendUnavailableError, QueueClosedError } from '../errors.js';
import { describeError } from '../internal/describe.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { onAbort } from '../internal/on-abort.js';
import type { Connection } from './connection.js';
import { outlookOf } from './failures.js';
import type { QueueKeys } from './keys.js';
import { publishScript } from './scripts/index.js';

/** A message on its way to the server. */
export interface Parcel {
  readonly key: QueueKey;
  /** JSON. */
  readonly payload: string;
  /** JSON; empty for none. */
  readonly headers: string;
  /** In milliseconds, from now. */
  readonly delay: number;
  readonly signal: AbortSignal | undefined;
}

export interface PublisherOptions {
  readonly queueName: string;
  readonly keys: QueueKeys;
  /** The groups that exist from the first message on. */
  readonly groups: readonly ConsumerGroup[];
  readonly connection: Connection;
  /** How long a message may wait to be confirmed, in milliseconds. */
  readonly publishTimeout: number;
  /** An error in the terms of the library. */
  readonly explain: (error: unknown) => Error;
}

interface Pending {
  readonly parcel: Parcel;
  readonly enteredAt: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  ignoreAbort: () => void;
  /** It was answered: confirmed, or given up. */
  over: boolean;
}

/** A number of messages that are stored together. A batch sent again has the same number, so that it is stored once. */
interface Batch {
  readonly number: number;
  readonly messages: readonly Pending[];
  /** It was sent, and nobody knows whether it was stored. */
  ambiguous: boolean;
}

/** One moment by two clocks, in milliseconds. */
interface Moment {
  readonly server: number;
  readonly here: number;
}

/** How much goes in one batch at most: messages, for Lua, and characters, so that a batch of large messages does not hold up the server. */
const MOST_MESSAGES = 256;
const MOST_CHARACTERS = 1_000_000;

/** How long the server remembers the last batch of a publisher, in milliseconds, beyond the time that a message may wait. */
const REMEMBERED = 60_000;

/** By how much two batches may differ in the time that they take on the way, in milliseconds. Beyond it, a clock was set. */
const MOST_JITTER = 1000;

const backoff = exponentialBackoff({ initial: 50, max: 2000, jitter: 0.5 });

/**
 * Sends messages, in order: one batch at a time, with everything that was published since the last one. So a batch that was lost on the way can be sent
 * again without overtaking, and the server need only remember one number to know it.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  /** Sixteen characters that no other publisher has. */
  readonly #name = randomBytes(8).toString('hex');
  /** Not sent yet, in order. */
  #waiting: Pending[] = [];
  /** Sent, and not answered. */
  #batch: Batch | undefined;
  #number = 0;
  /** For as long as batch follows batch: from here on their delays count, or one that takes longer on the way would fall due later. */
  #moment: Moment | undefined;
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** Resolves when the server has confirmed the message. */
  publish(parcel: Parcel): Promise<void> {
    const { signal } = parcel;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const pending: Pending = { parcel, enteredAt: performance.now(), resolve, reject, ignoreAbort: () => {}, over: false };
      if (signal !== undefined) pending.ignoreAbort = onAbort(signal, () => this.#abort(pending));
      this.#waiting.push(pending);
      this.#watchTime();
      if (this.#running) return;
      this.#running = true;
      // At the end of the turn: what is published in one turn travels together.
      setImmediate(() => void this.#run());
    });
  }

  /** Sends what was published before, while there is a connection. Resolves when nothing is left. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#running && this.#options.connection.isReady) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.abandon();
  }

  /** Gives up what is not confirmed. */
  abandon(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    const { queueName } = this.#options;
    const unsent = this.#waiting.splice(0);
    for (const pending of this.#batch?.messages ?? []) {
      this.#fail(pending, new QueueClosedError(`Queue "${queueName}" was closed before a message was confirmed: it may have been enqueued`));
    }
    for (const pending of unsent) this.#fail(pending, new QueueClosedError(`Queue "${queueName}" was closed before a message was sent`));
    this.#batch = undefined;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { connection } = this.#options;
    let refusals = 0;
    while (this.#hasMore()) {
      try {
        await connection.ready();
        if (!this.#hasMore()) break;
        const batch = this.#batch ?? this.#nextBatch();
        this.#batch = batch;
        await this.#send(batch);
        this.#confirm(batch);
        refusals = 0;
      } catch (error) {
        if (this.#closed && !connection.isReady) break;
        const outlook = outlookOf(error);
        if (outlook === 'lost' && this.#batch !== undefined) this.#batch.ambiguous = true;
        if (outlook === 'hopeless') this.#refuse(error);
        else if (outlook === 'refused') {
          if (/OOM|MISCONF/.test((error as Error).message)) this.#refuse(error);
          else await new Promise((resolve) => setTimeout(resolve, backoff(undefined, ++refusals)));
        }
      }
    }
    this.#running = false;
    this.#moment = undefined;
    this.#wake?.();
  }

  #hasMore(): boolean {
    return this.#batch !== undefined || this.#waiting.length > 0;
  }

  #nextBatch(): Batch {
    let characters = 0;
    let count = 0;
    for (const { parcel } of this.#waiting) {
      characters += parcel.payload.length + parcel.headers.length;
      if (count > 0 && (count === MOST_MESSAGES || characters > MOST_CHARACTERS)) break;
      count += 1;
    }
    const messages = this.#waiting.splice(0, count);
    return { number: ++this.#number, messages, ambiguous: false };
  }

  async #send({ number, messages }: Batch): Promise<void> {
    const { keys, groups, connection, publishTimeout } = this.#options;
    const now = performance.now();
    const from = this.#moment;
    const args = [
      String(number),
      String(Math.ceil(publishTimeout) + REMEMBERED),
      this.#name,
      JSON.stringify(groups),
      from ? String(from.server) : '',
    ];
    for (const { parcel, enteredAt, over } of messages) {
      if (over) continue;
      const { key, payload, headers, delay } = parcel;
      const rest = delay === 0 ? 0 : Math.max(1, Math.ceil(enteredAt + delay - (from?.here ?? now)));
      args.push(key, payload, headers, String(rest));
    }
    const server = await connection.run(publishScript, [keys.stream, keys.delayed, keys.bell, keys.published(this.#name)], args);
    if (typeof server === 'number' && server > 0) this.#moment = this.#sameOffset({ server, here: now }) ?? { server, here: now };
  }

  /** The moment that delays count from, unless the server's clock was set since. */
  #sameOffset({ server, here }: Moment): Moment | undefined {
    const moment = this.#moment;
    return moment !== undefined && Math.abs(server - moment.server - (here - moment.here)) < MOST_JITTER ? moment : undefined;
  }

  #confirm({ messages }: Batch): void {
    this.#batch = undefined;
    for (const pending of messages) {
      if (this.#end(pending)) pending.resolve();
    }
    this.#watchTime();
  }

  /** The server will not store these. */
  #refuse(error: unknown): void {
    const explained = this.#options.explain(error);
    const batch = this.#batch;
    this.#batch = undefined;
    const reason = batch?.ambiguous
      ? new BackendUnavailableError(`${explained.message}: it may have been enqueued`, { cause: error, retryable: false })
      : explained;
    for (const pending of batch?.messages ?? this.#waiting.splice(0)) this.#fail(pending, reason);
  }

  #abort(pending: Pending): void {
    // On its way it cannot be called back: then what the server answers counts.
    const at = this.#waiting.indexOf(pending);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#fail(pending, pending.parcel.signal?.reason);
  }

  /** One timer for all: who came first is out of time first. */
  #watchTime(): void {
    if (this.#timer !== undefined) return;
    const first = this.#oldest();
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

  #oldest(): Pending | undefined {
    return this.#batch?.messages.find(({ over }) => !over) ?? this.#waiting[0];
  }

  #giveUpLate(enteredBefore: number): void {
    const { queueName, publishTimeout, connection } = this.#options;
    const cause = connection.trouble;
    const reason = cause === undefined ? '' : ` (${describeError(cause)})`;
    const late = (what: string) =>
      new BackendUnavailableError(`Redis did not confirm a message for queue "${queueName}" within ${publishTimeout} ms${reason}: ${what}`, {
        cause,
      });
    for (const pending of this.#batch?.messages ?? []) {
      if (pending.enteredAt <= enteredBefore) this.#fail(pending, late('it may have been enqueued'));
    }
    const inTime = this.#waiting.findIndex((pending) => pending.enteredAt > enteredBefore);
    for (const pending of this.#waiting.splice(0, inTime < 0 ? this.#waiting.length : inTime)) this.#fail(pending, late('it was not enqueued'));
  }

  #fail(pending: Pending, error: unknown): void {
    if (this.#end(pending)) pending.reject(error);
  }

  #end(pending: Pending): boolean {
    if (pending.over) return false;
    pending.over = true;
    pending.ignoreAbort();
    return true;
  }
}
