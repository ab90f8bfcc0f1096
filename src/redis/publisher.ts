import { randomBytes } from 'node:crypto';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { writePayload } from '../core/envelope.js';
import type { Pending } from '../core/outbox.js';
import type { Batch, PublishDriver } from '../core/publish-loop.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { writeMetadata } from '../internal/metadata.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import { publishScript } from './scripts/index.js';
import type { Topology } from './topology.js';

/** A message on its way to the server. */
export interface Parcel {
  readonly key: QueueKey;
  /** JSON. */
  readonly payload: string;
  /** JSON; empty for none. */
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
  readonly topology: Pick<Topology, 'mayCreate'>;
  readonly failures: Pick<EngineErrors, 'notFound'>;
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
  readonly #keys: readonly string[];
  /** JSON: the rule with and without creation. */
  readonly #groupRules: { readonly create: string; readonly mustExist: string };
  /** How long the server remembers a batch, in milliseconds. */
  readonly #remembered: string;
  /** The delays of consecutive batches begin at one moment, however long a batch is in transit. */
  #moment: Moment | undefined;
  #confirmedAt = 0;

  constructor(options: PublisherOptions) {
    const { keys, groupRule, publishTimeout } = options;
    this.#options = options;
    // Sixteen characters that no other publisher has.
    const published = keys.published(randomBytes(8).toString('hex'));
    this.#keys = [keys.stream, keys.delayed, keys.wakeStream, published, keys.addressed, keys.idPrefix];
    this.#groupRules = {
      create: JSON.stringify(groupRule),
      mustExist: JSON.stringify({ ...groupRule, mustExist: true }),
    };
    this.#remembered = String(Math.ceil(publishTimeout) + REMEMBERED);
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
    const here = performance.now();
    // A message that was published after the last confirm does not continue a series of batches.
    if ((messages[0]?.enteredAt ?? here) > this.#confirmedAt) this.#moment = undefined;
    const { topology, failures } = this.#options;
    const { mayCreate } = topology;
    const server = await link.run(publishScript, this.#keys, [
      String(number),
      this.#remembered,
      this.#groupRules[mayCreate ? 'create' : 'mustExist'],
      ...this.#writeMessages(messages, here),
    ]);
    if (!mayCreate && typeof server === 'string') throw failures.notFound(server === '' ? undefined : server);
    this.#confirmedAt = performance.now();
    if (typeof server === 'number' && server > 0) this.#moment = this.#sameOffset({ server, here }) ?? { server, here };
  }

  /** Writes the rare fields of a batch and its messages, as arguments of the script. */
  #writeMessages(messages: readonly Pending<Parcel>[], now: number): string[] {
    const rows = [''];
    for (const { parcel, isOver } of messages) {
      if (isOver) continue;
      if (!isPlain(parcel)) return this.#writeRareMessages(messages, now);
      rows.push(parcel.key, parcel.payload);
    }
    return rows;
  }

  #writeRareMessages(messages: readonly Pending<Parcel>[], now: number): string[] {
    const from = this.#moment;
    const groupAt: PerMessage = {};
    const idAt: PerMessage = {};
    let hasTarget = false;
    const rows = [''];
    for (const { parcel, enteredAt, isOver } of messages) {
      if (isOver) continue;
      const { key, payload, metadata, delay, group, id } = parcel;
      const rest = delay === 0 ? 0 : Math.max(1, Math.ceil(enteredAt + delay - (from?.here ?? now)));
      rows.push(key, payload, metadata, String(rest));
      if (group === undefined && id === undefined) continue;
      const place = (rows.length - 1) / 4;
      if (group !== undefined) groupAt[place] = group;
      if (id !== undefined) idAt[place] = id;
      hasTarget = true;
    }
    // Redis takes whole milliseconds only.
    const dedupeWindow = Math.ceil(this.#options.dedupeWindow);
    rows[0] = JSON.stringify({ from: from?.server, ...(hasTarget && { groupAt, idAt, dedupeWindow }) });
    return rows;
  }

  /** The moment that delays begin at, unless the server's clock was set since. */
  #sameOffset({ server, here }: Moment): Moment | undefined {
    const moment = this.#moment;
    return moment !== undefined && Math.abs(server - moment.server - (here - moment.here)) < MAX_JITTER
      ? moment
      : undefined;
  }
}

/** Whether a message has only a key and a payload. */
function isPlain({ metadata, delay, group, id }: Parcel): boolean {
  return metadata === '' && delay === 0 && group === undefined && id === undefined;
}
