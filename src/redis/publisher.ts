import { randomBytes } from 'node:crypto';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import type { DriverPublisher } from '../core/driver.js';
import { within } from '../core/deadline.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { writeHeaders, writePayload } from '../core/envelope.js';
import { Outbox, type Pending } from '../core/outbox.js';
import type { Refusals } from '../core/refusals.js';
import { BackendUnavailableError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Connection } from './connection.js';
import type { QueueKeys } from './keys.js';
import { publishScript } from './scripts/index.js';

/** A message on its way to the server. */
interface Parcel {
  readonly key: QueueKey;
  /** JSON. */
  readonly payload: string;
  /** JSON; empty for none. */
  readonly headers: string;
  /** In milliseconds, from now. */
  readonly delay: number;
  /** The only group that gets it; undefined for all. */
  readonly group: ConsumerGroup | undefined;
  /** The publisher's own id; undefined for none. */
  readonly id: string | undefined;
}

/** Which groups a publish creates where they are missing, once the database was flushed. */
interface GroupRule {
  readonly groups: readonly ConsumerGroup[];
  /** Whether they were declared. If not, a queue that has any group keeps those that it has. */
  readonly declared: boolean;
}

export interface PublisherOptions {
  readonly queueName: string;
  readonly keys: QueueKeys;
  readonly groupRule: GroupRule;
  readonly connection: Connection;
  /** How long a message may wait to be confirmed, in milliseconds. */
  readonly publishTimeout: number;
  /** How many messages may be unconfirmed at a time. */
  readonly maxPending: number;
  /** How long an id is remembered, in milliseconds. */
  readonly dedupeWindow: number;
  readonly failures: EngineErrors;
  readonly refusals: Refusals;
}

/** A number of messages that are stored together. A batch sent again has the same number, so that it is stored once. */
interface Batch {
  readonly number: number;
  readonly messages: readonly Pending<Parcel>[];
  /** It was sent, and nobody knows whether it was stored. */
  ambiguous: boolean;
}

/** What few messages of a batch have, by their places in the batch, from 1 up. */
type PerMessage = Record<number, string>;

/** One moment by two clocks, in milliseconds. */
interface Moment {
  readonly server: number;
  readonly here: number;
}

/** The longest string that Redis takes (its `proto-max-bulk-len`), in bytes. */
const MOST_BYTES = 512 * 1024 * 1024;

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
export class Publisher implements DriverPublisher {
  readonly #options: PublisherOptions;
  /** Sixteen characters that no other publisher has. */
  readonly #name = randomBytes(8).toString('hex');
  readonly #outbox: Outbox<Parcel>;
  /** Sent, and not answered. */
  #batch: Batch | undefined;
  #number = 0;
  /** For as long as batch follows batch: from here on their delays count, or one that takes longer on the way would fall due later. */
  #moment: Moment | undefined;
  #running = false;
  #closed = false;
  #endPause: (() => void) | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { queueName, publishTimeout, maxPending, connection, failures, refusals } = options;
    const limits = { publishTimeout, maxPending };
    const lastError = () => connection.lastError ?? refusals.last;
    this.#outbox = new Outbox({
      queueName,
      broker: failures.broker,
      ...limits,
      onAdmitted: () => this.#poke(),
      lastError,
    });
  }

  publish({ key, payload, headers, delay, group, id, signal }: CheckedMessage): Promise<void> {
    const parcel = {
      key,
      payload: writePayload(payload, MOST_BYTES, 'Redis'),
      headers: writeHeaders(headers) ?? '',
      delay,
      group,
      id,
    };
    const answer = this.#outbox.add(parcel, signal);
    this.#poke();
    return answer;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#options.connection.mayRecover) await this.#outbox.emptied();
    this.abandon();
  }

  abandon(): void {
    this.#closed = true;
    this.#outbox.abandon();
    this.#batch = undefined;
    this.#endPause?.();
  }

  #poke(): void {
    if (this.#running || this.#outbox.isEmpty) return;
    this.#running = true;
    // At the end of the turn: what is published in one turn travels together.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { connection, failures, refusals } = this.#options;
    let attempts = 0;
    while (this.#hasMore()) {
      try {
        await connection.ready();
        if (!this.#hasMore()) break;
        const batch = this.#batch ?? this.#nextBatch();
        this.#batch = batch;
        await this.#send(batch);
        this.#batch = undefined;
        for (const pending of batch.messages) pending.confirm();
        refusals.end();
        attempts = 0;
      } catch (error) {
        if (this.#closed && !connection.isReady) {
          this.abandon();
          break;
        }
        const kind = failures.classify(error);
        if (kind === 'retryable' && this.#batch !== undefined) this.#batch.ambiguous = true;
        if (kind === 'fatal') {
          connection.drop(error);
          this.#refuse(error);
        } else if (kind === 'refused') {
          if (/OOM|MISCONF/.test((error as Error).message)) this.#refuse(error);
          else {
            refusals.add(error);
            await this.#pause(backoff(undefined, ++attempts));
          }
        }
      }
    }
    this.#running = false;
    this.#moment = undefined;
  }

  /** Waits so many milliseconds, or until it is abandoned. */
  async #pause(milliseconds: number): Promise<void> {
    if (!this.#hasMore()) return;
    const ended = new Promise<void>((resolve) => {
      this.#endPause = resolve;
    });
    await within(milliseconds, ended);
    this.#endPause = undefined;
  }

  #hasMore(): boolean {
    return this.#batch !== undefined || this.#outbox.waiting.length > 0;
  }

  #nextBatch(): Batch {
    let characters = 0;
    let count = 0;
    for (const { parcel } of this.#outbox.waiting) {
      characters += parcel.payload.length + parcel.headers.length;
      if (count > 0 && (count === MOST_MESSAGES || characters > MOST_CHARACTERS)) break;
      count += 1;
    }
    return { number: ++this.#number, messages: this.#outbox.take(count), ambiguous: false };
  }

  async #send({ number, messages }: Batch): Promise<void> {
    const { keys, groupRule, connection, publishTimeout, dedupeWindow } = this.#options;
    const now = performance.now();
    const from = this.#moment;
    const args = [
      String(number),
      String(Math.ceil(publishTimeout) + REMEMBERED),
      this.#name,
      JSON.stringify(groupRule),
    ];
    const rows: string[] = [];
    const groupAt: PerMessage = {};
    const idAt: PerMessage = {};
    let isRare = from !== undefined;
    for (const { parcel, enteredAt, isOver } of messages) {
      if (isOver) continue;
      const { key, payload, headers, delay, group, id } = parcel;
      const rest = delay === 0 ? 0 : Math.max(1, Math.ceil(enteredAt + delay - (from?.here ?? now)));
      rows.push(key, payload, headers, String(rest));
      if (group === undefined && id === undefined) continue;
      const place = rows.length / 4;
      if (group !== undefined) groupAt[place] = group;
      if (id !== undefined) idAt[place] = id;
      isRare = true;
    }
    args.push(isRare ? JSON.stringify({ from: from?.server, groupAt, idAt, dedupeWindow }) : '', ...rows);
    const server = await connection.run(
      publishScript,
      [keys.stream, keys.delayed, keys.wakeStream, keys.published(this.#name), keys.addressed, keys.idPrefix],
      args,
    );
    if (typeof server === 'number' && server > 0)
      this.#moment = this.#sameOffset({ server, here: now }) ?? { server, here: now };
  }

  /** The moment that delays count from, unless the server's clock was set since. */
  #sameOffset({ server, here }: Moment): Moment | undefined {
    const moment = this.#moment;
    return moment !== undefined && Math.abs(server - moment.server - (here - moment.here)) < MOST_JITTER
      ? moment
      : undefined;
  }

  /** The server will not store these. */
  #refuse(error: unknown): void {
    const explained = this.#options.failures.explained(error);
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined) {
      this.#outbox.refuse(explained);
      return;
    }
    const reason = batch.ambiguous
      ? new BackendUnavailableError(`${explained.message}: it may have been enqueued`, {
          cause: error,
          retryable: false,
        })
      : explained;
    for (const pending of batch.messages) pending.fail(reason);
  }
}
