import { randomBytes } from 'node:crypto';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import { writePayload } from '../core/envelope.js';
import type { Pending } from '../core/outbox.js';
import type { Batch, PublishDriver } from '../core/publish-loop.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { writeMetadata } from '../internal/metadata.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { publishScript } from './scripts/index.js';

/** A message on its way to the server. */
export interface Parcel {
  readonly key: QueueKey;
  /** JSON. */
  readonly payload: string;
  /** JSON; empty for none. */
  /** '': there is none. */
  readonly metadata: string;
  /** In milliseconds, from the publish on. */
  readonly delay: number;
  /** The only group that gets the message; undefined for all. */
  readonly group: ConsumerGroup | undefined;
  /** The publisher's own id; undefined for none. */
  readonly id: string | undefined;
}

/** Which groups a publish creates if the database was flushed. */
interface GroupRule {
  readonly groups: readonly ConsumerGroup[];
  /** Whether they were declared. If not, they are created only if the queue has no group. */
  readonly declared: boolean;
}

export interface PublisherOptions {
  readonly keys: QueueKeys;
  readonly groupRule: GroupRule;
  /** How long a message may wait for its confirm, in milliseconds. */
  readonly publishTimeout: number;
  /** How long an id is remembered, in milliseconds. */
  readonly dedupeWindow: number;
}

/** Rare fields of messages, by their places in the batch, from 1 up. */
type PerMessage = Record<number, string>;

/** One moment by two clocks, in milliseconds. */
interface Moment {
  readonly server: number;
  readonly here: number;
}

/** The longest string that Redis takes (its `proto-max-bulk-len`), in bytes. */
const MAX_BYTES = 512 * 1024 * 1024;

/** How long the server remembers a batch beyond `publishTimeout`, in milliseconds. */
const REMEMBERED = 60_000;

/** The largest jitter between batches, in milliseconds. A larger one means that a clock was set. */
const MAX_JITTER = 1000;

/** Sends messages with the publish script, which stores a batch that is sent again once. */
export class Publisher implements PublishDriver<RedisLink, Parcel> {
  readonly mode = 'batch';
  /** Messages are limited for Lua, characters so that large messages do not block the server. */
  readonly window = { messages: 256, size: 1_000_000 };
  readonly #options: PublisherOptions;
  /** Sixteen characters that no other publisher has. */
  readonly #name = randomBytes(8).toString('hex');
  /** The delays of consecutive batches begin at one moment, however long a batch is in transit. */
  #moment: Moment | undefined;
  #confirmedAt = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  write(message: CheckedMessage): Parcel {
    const { key, payload, delay, group, id } = message;
    const json = writePayload(payload, MAX_BYTES, 'Redis');
    return { key, payload: json, metadata: writeMetadata(message) ?? '', delay, group, id };
  }

  sizeOf({ payload, metadata }: Parcel): number {
    return payload.length + metadata.length;
  }

  failsAtOnce(error: unknown): boolean {
    return /OOM|MISCONF/.test((error as Error).message);
  }

  async send(link: RedisLink, { number, messages }: Batch<Parcel>): Promise<void> {
    const { keys, groupRule, publishTimeout } = this.#options;
    const here = performance.now();
    // A message that was published after the last confirm does not continue a series of batches.
    if ((messages[0]?.enteredAt ?? here) > this.#confirmedAt) this.#moment = undefined;
    const { rare, rows } = this.#writeBatch(messages, here);
    const server = await link.run(
      publishScript,
      [keys.stream, keys.delayed, keys.wakeStream, keys.published(this.#name), keys.addressed, keys.idPrefix],
      [
        String(number),
        String(Math.ceil(publishTimeout) + REMEMBERED),
        this.#name,
        JSON.stringify(groupRule),
        rare,
        ...rows,
      ],
    );
    this.#confirmedAt = performance.now();
    if (typeof server === 'number' && server > 0) this.#moment = this.#sameOffset({ server, here }) ?? { server, here };
  }

  #writeBatch(messages: readonly Pending<Parcel>[], now: number): { readonly rare: string; readonly rows: string[] } {
    const from = this.#moment;
    const groupAt: PerMessage = {};
    const idAt: PerMessage = {};
    let isRare = from !== undefined;
    const rows: string[] = [];
    for (const { parcel, enteredAt, isOver } of messages) {
      if (isOver) continue;
      const { key, payload, metadata, delay, group, id } = parcel;
      const rest = delay === 0 ? 0 : Math.max(1, Math.ceil(enteredAt + delay - (from?.here ?? now)));
      rows.push(key, payload, metadata, String(rest));
      if (group === undefined && id === undefined) continue;
      const place = rows.length / 4;
      if (group !== undefined) groupAt[place] = group;
      if (id !== undefined) idAt[place] = id;
      isRare = true;
    }
    // Redis takes whole milliseconds only.
    const dedupeWindow = Math.ceil(this.#options.dedupeWindow);
    return { rare: isRare ? JSON.stringify({ from: from?.server, groupAt, idAt, dedupeWindow }) : '', rows };
  }

  /** The moment that delays begin at, unless the server's clock was set since. */
  #sameOffset({ server, here }: Moment): Moment | undefined {
    const moment = this.#moment;
    return moment !== undefined && Math.abs(server - moment.server - (here - moment.here)) < MAX_JITTER
      ? moment
      : undefined;
  }
}
