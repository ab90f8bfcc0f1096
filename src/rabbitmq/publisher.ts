import type { ConsumerGroup } from '../backend.js';
import type { Connection } from '../core/connection.js';
import type { DriverPublisher } from '../core/driver.js';
import { writePayload } from '../core/envelope.js';
import { MessageIds } from '../core/message-ids.js';
import { type Pending, remainingDelay } from '../core/outbox.js';
import { type Batch, type PublishDriver, PublishLoop } from '../core/publish-loop.js';
import { BackendUnavailableError, InvalidMessageError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { writeMetadata } from '../internal/metadata.js';
import { checkMilliseconds } from '../internal/options.js';
import type { Channel, Envelope, Incoming } from './client.js';
import type { QueueContext } from './context.js';
import { Delays, LONGEST_DELAY } from './delays.js';
import type { RabbitLink } from './link.js';
import { bodyOf, envelopeOf, type Outgoing, quarantineProperties } from './message.js';
import { codeOf, largestBody } from './rabbitmq-errors.js';
import type { Server } from './server.js';
import { openQueue } from './topology.js';

export interface PublisherOptions extends QueueContext {
  readonly server: Server;
  readonly publishTimeout: number;
  readonly maxPending: number;
  /** Called when everything is declared over a new link. */
  readonly onDeclared: (link: RabbitLink) => void;
}

interface Parcel {
  readonly uniqueId: string;
  readonly envelope: Envelope;
  readonly body: Buffer;
  /** The queues of its delay. Undefined: it has none. */
  readonly delays: Delays | undefined;
  /** The only group that gets the message. Undefined: every group. */
  readonly group: ConsumerGroup | undefined;
  /** In milliseconds, from the call of `publish`. */
  readonly delay: number;
  /** Whether the message is new to its groups, which a copy is not. */
  readonly isNew: boolean;
}

interface PublishChannel {
  readonly link: RabbitLink;
  readonly channel: Channel;
  /** The ids of messages that the broker returned, because it has no queue for them. */
  readonly returned: Set<string>;
  /**
   * The destinations for which the broker has confirmed a message: a group, or undefined for all.
   * The first message goes alone. A new queue may refuse it, and no later message may overtake it.
   */
  readonly proven: Set<ConsumerGroup | undefined>;
  /** The groups that exist, if they must not be created. */
  readonly found: Set<ConsumerGroup>;
}

/** The largest message that RabbitMQ accepts by default, in bytes. */
const MOST_BYTES = 128 * 1024 * 1024;

/**
 * How often a refused message is sent again. A new queue, or one that elects its leader, refuses
 * messages for a moment. A full queue goes on refusing, and each time the queues of other groups
 * may store the message.
 */
const MOST_REFUSALS = 4;

const backoff = exponentialBackoff({ initial: 50, max: 1000, jitter: 0.5 });

/** The most bytes of the properties of a message other than its headers. */
const OVERHEAD = 1024;

/** Publishes over one channel. Sends unconfirmed messages again over the next link. */
export class Publisher implements DriverPublisher, PublishDriver<RabbitLink, Parcel> {
  readonly mode = 'pipeline';
  readonly window = { messages: 2048, size: 8 * 1024 * 1024 };
  readonly connection: Connection<RabbitLink>;
  readonly #options: PublisherOptions;
  readonly #loop: PublishLoop<RabbitLink, Parcel>;
  readonly #toAll: Delays;
  readonly #toGroups = new Map<ConsumerGroup, Delays>();
  /** For messages that were nacked with a delay. */
  readonly #redelivery = new Map<ConsumerGroup, Delays>();
  readonly #ids = new MessageIds();
  #channel: PublishChannel | undefined;
  #closed = false;
  /** The largest message that the server accepts, as far as it has said. */
  #mostBytes = MOST_BYTES;

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { queueName, publishTimeout, maxPending, names, server, failures, events, logger } = options;
    this.connection = server.connect({
      purpose: 'publishing',
      prepare: (link) => this.#open(link),
      onUnblocked: () => this.#loop.wake(),
      publishTimeout,
    });
    this.#toAll = new Delays(names.delay, names.exchange);
    this.#loop = new PublishLoop<RabbitLink, Parcel>({
      queueName,
      connection: this.connection,
      publishTimeout,
      maxPending,
      failures,
      logger,
      events,
      driver: this,
      lastError: (known) => this.#blockedError ?? known,
    });
  }

  get lastError(): unknown {
    return this.#loop.lastError;
  }

  publish(message: CheckedMessage): Promise<void> {
    return this.#send(this.write(message), message.signal);
  }

  write(checked: CheckedMessage): Parcel {
    const { key, payload, delay, group, id } = checked;
    checkMilliseconds('delay', delay, { most: LONGEST_DELAY });
    const metadata = writeMetadata(checked);
    this.#checkHeaders(metadata);
    const uniqueId = this.#ids.next();
    const body = Buffer.from(writePayload(payload, this.#mostBytes, 'RabbitMQ'));
    const message: Outgoing = {
      id: id ?? uniqueId,
      uniqueId,
      key,
      body,
      metadata,
      publishedAt: Date.now(),
      delay,
      attempts: 0,
    };
    const delays = group === undefined ? this.#toAll : this.#delaysTo(group);
    const envelope = envelopeOf(message, delays.destination, key);
    return { uniqueId, envelope, body, delays, group, delay, isNew: true };
  }

  /**
   * Sends a copy of a message to one group again. Resolves when the broker has confirmed it.
   * @param delay in milliseconds
   */
  redeliver(group: ConsumerGroup, message: Outgoing, delay: number): Promise<void> {
    const { again, delay: name } = this.#options.names.group(group);
    const delays = this.#redelivery.get(group) ?? new Delays(name, again);
    this.#redelivery.set(group, delays);
    const { uniqueId, body } = message;
    const envelope = envelopeOf(message, again, '');
    return this.#send({ uniqueId, envelope, body, delays, group, delay, isNew: false });
  }

  /** Sends a message to the quarantine. Resolves when the broker has confirmed it. */
  quarantine(original: Incoming, reason: string): Promise<void> {
    const uniqueId = original.messageId ?? this.#ids.next();
    const properties = { ...quarantineProperties(original, reason), messageId: uniqueId };
    const exchange = this.#options.names.quarantine;
    const envelope = { ...properties, exchange, routingKey: '', mandatory: true, durable: true };
    const body = bodyOf(original);
    return this.#send({ uniqueId, envelope, body, delays: undefined, group: undefined, delay: 0, isNew: false });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#loop.close();
  }

  abandon(): void {
    this.#closed = true;
    this.#loop.abandon();
  }

  sizeOf({ body }: Parcel): number {
    return body.length;
  }

  isBlocked(link: RabbitLink): boolean {
    return link.blocked !== undefined;
  }

  mayFollow({ group }: Parcel): boolean {
    const proven = this.#channel?.proven;
    return proven !== undefined && (proven.has(undefined) || (group !== undefined && proven.has(group)));
  }

  /** Whether its group and the levels of its delay exist. */
  isPrepared(pending: Pending<Parcel>): boolean {
    const { delays, group } = pending.parcel;
    if (group !== undefined && !this.#options.existence.creates && this.#channel?.found.has(group) !== true)
      return false;
    return delays === undefined || delays.isReadyFor(remainingDelay(pending, performance.now()));
  }

  async prepare(link: RabbitLink, { parcel: { delays, delay, group } }: Pending<Parcel>): Promise<void> {
    try {
      await this.#options.existence.check(link, group === undefined ? [] : [group]);
      if (group !== undefined) this.#channel?.found.add(group);
      await delays?.declareFor(link, delay);
    } catch (error) {
      // Earlier declarations may be gone. Over the next link, everything is declared again.
      if (this.#options.failures.classify(error) !== 'fatal') this.connection.lose(link, error);
      throw error;
    }
  }

  send(link: RabbitLink, { messages }: Batch<Parcel>): void {
    const channel = this.#channel;
    if (channel === undefined) return;
    link.gather();
    // One moment for all: messages of one turn must become due in order.
    const now = performance.now();
    for (const pending of messages) this.#publish(channel, pending, now);
  }

  #send(parcel: Parcel, signal?: AbortSignal): Promise<void> {
    const confirmed = this.#loop.send(parcel, signal);
    const { delay, uniqueId, group } = parcel;
    if (delay > 0) {
      const { delayed } = this.#options;
      delayed.sent(uniqueId, delay, group);
      // The caller of `publish` gets the error.
      confirmed.catch(() => delayed.failed(uniqueId, group));
    }
    return confirmed;
  }

  #delaysTo(group: ConsumerGroup): Delays {
    let delays = this.#toGroups.get(group);
    if (delays === undefined) {
      const { queue, publishDelay } = this.#options.names.group(group);
      delays = new Delays(publishDelay, queue);
      this.#toGroups.set(group, delays);
    }
    return delays;
  }

  /** Opens the channel of a new link, and declares what messages need. */
  async #open(link: RabbitLink): Promise<void> {
    const { existence, delayed, onDeclared } = this.#options;
    const channel = await link.openChannel((cause) => {
      if (!this.#closed || !this.#loop.isEmpty) this.connection.lose(link, cause);
    });
    await openQueue(link, this.#options);
    onDeclared(link);
    await channel.confirmSelect();
    const returned = new Set<string>();
    channel.on('basic.return', ({ messageId = '' }) => returned.add(messageId));
    if (this.#channel !== undefined) delayed.disturbed();
    for (const delays of [this.#toAll, ...this.#redelivery.values(), ...this.#toGroups.values()]) delays.forget();
    this.#channel = { link, channel, returned, proven: new Set(), found: new Set(existence.groups) };
  }

  get #blockedError(): Error | undefined {
    const blocked = this.connection.link?.blocked;
    if (blocked === undefined) return undefined;
    return new Error(`RabbitMQ has blocked the connection, and accepts no messages: ${blocked}`);
  }

  /** @param refusals how often the broker has refused the message */
  #publish(to: PublishChannel, pending: Pending<Parcel>, now: number, refusals = 0): void {
    const { envelope, body, delays } = pending.parcel;
    const rest = remainingDelay(pending, now);
    const detour = rest > 0 && delays ? { ...envelope, ...delays.detour(rest) } : envelope;
    to.channel.basicPublish(detour, body).then(
      // The client emits a return in a later turn, though the broker sends it before the confirm.
      () => void setImmediate(() => this.#confirmed(to, pending)),
      (error: unknown) => this.#failed(to, pending, error, refusals),
    );
  }

  #confirmed({ link, proven, returned }: PublishChannel, pending: Pending<Parcel>): void {
    const { envelope, group, delay, isNew } = pending.parcel;
    proven.add(group);
    if (returned.size > 0 && returned.has(envelope.messageId ?? '')) {
      const { existence } = this.#options;
      if (!existence.creates) {
        returned.delete(envelope.messageId ?? '');
        pending.fail(existence.unrouted(group));
        return;
      }
      // Over the next link, everything is declared again, and the message is sent again.
      this.connection.lose(link, new Error('RabbitMQ has no queue for a message: a queue or exchange was deleted'));
      return;
    }
    if (isNew) this.#options.delayed.oneGroup.published(group, delay);
    pending.confirm();
    this.#loop.accepted();
  }

  #failed(from: PublishChannel, pending: Pending<Parcel>, error: unknown, refusals: number): void {
    const { failures, delayed } = this.#options;
    if (codeOf(error) === 'NACK') {
      delayed.disturbed();
      // A delayed message goes to one queue, which only this library fills. Other messages may
      // have reached some groups.
      if (pending.parcel.delay > 0 || refusals < MOST_REFUSALS) this.#publishLater(from, pending, refusals + 1);
      else {
        const what = `${failures.explained(error).message}: a queue is full, or cannot store it; some groups may have the message`;
        pending.fail(new BackendUnavailableError(what, { cause: error }));
      }
      return;
    }
    const most = largestBody(error);
    if (most !== undefined) this.#refuseLarger(most);
    // The client could not write the message, and has sent nothing of it.
    if (codeOf(error) === 'CODEC') pending.fail(failures.explained(error));
    this.connection.lose(from.link, error);
  }

  /** Sends a refused message again, unless the next link does. */
  #publishLater(to: PublishChannel, pending: Pending<Parcel>, refusals: number): void {
    // The connection keeps the process alive while the queue is open.
    setTimeout(
      () => {
        if (to === this.#channel && !pending.isOver) this.#publish(to, pending, performance.now(), refusals);
      },
      backoff(undefined, refusals),
    ).unref();
  }

  /** The server says how many bytes it accepts, but not which message was larger. */
  #refuseLarger(most: number): void {
    this.#mostBytes = most;
    const limit = `at most ${most} bytes, the limit of this server`;
    this.#loop.failWhere(({ body: { length } }) =>
      length <= most ? undefined : new InvalidMessageError('payload', limit, `${length} bytes`),
    );
  }

  /** @throws {InvalidMessageError} if the headers do not fit in one frame */
  #checkHeaders(json: string | undefined): void {
    if (json === undefined) return;
    const most = this.#options.server.frameMax - OVERHEAD;
    if (json.length <= most / 3) return;
    const bytes = Buffer.byteLength(json);
    const limit = `at most ${most} bytes of JSON, the limit of RabbitMQ`;
    if (bytes > most) throw new InvalidMessageError('headers', limit, `${bytes} bytes`);
  }
}
