import type { ConsumerGroup } from '../backend.js';
import type { Connection } from '../core/connection.js';
import type { DriverPublisher } from '../core/driver.js';
import { writeHeaders, writePayload } from '../core/envelope.js';
import { MessageIds } from '../core/message-ids.js';
import { Outbox, type Pending, remainingDelay } from '../core/outbox.js';
import { BackendUnavailableError, InvalidMessageError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { checkMilliseconds } from '../internal/options.js';
import type { Channel, Envelope, Incoming, Properties } from './client.js';
import type { DelayedMessages } from './delayed-messages.js';
import { Delays, LONGEST_DELAY } from './delays.js';
import type { RabbitLink } from './link.js';
import { asideProperties, bodyOf, type Outgoing, propertiesOf } from './message.js';
import type { QueueNames } from './names.js';
import { codeOf, largestBody } from './rabbitmq-errors.js';
import type { Server } from './server.js';
import { declareGroups } from './topology.js';

export interface PublisherOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  /** The groups that exist from the first message on. */
  readonly groups: readonly ConsumerGroup[];
  readonly server: Server;
  /** How long a message may wait to be confirmed, in milliseconds. */
  readonly publishTimeout: number;
  /** How many messages may be unconfirmed at a time. */
  readonly maxPending: number;
  readonly delayed: DelayedMessages;
  readonly logger: Logger;
  /** All is declared over a new connection. */
  readonly onDeclared: (link: RabbitLink) => void;
}

/** A message on its way to the server. */
interface Parcel {
  readonly uniqueId: string;
  readonly envelope: Envelope;
  readonly body: Buffer;
  /** The way of its delay; undefined: it has none. */
  readonly delays: Delays | undefined;
  /** The only group that gets it; undefined: all do. */
  readonly group: ConsumerGroup | undefined;
  /** In milliseconds, from when it was handed in. */
  readonly delay: number;
  /** It is new to its groups: no copy. */
  readonly isNew: boolean;
}

/** Where messages to one group only go. */
interface GroupRoute {
  readonly exchange: string;
  readonly delays: Delays;
}

/** The channel that is published on, for as long as it lasts. */
interface Line {
  readonly link: RabbitLink;
  readonly channel: Channel;
  /** Ids of messages that came back, since there is no queue for them. */
  readonly returned: Set<string>;
  /** A message to all was confirmed. The first one goes alone: a queue that was made just now may refuse it, and when it is sent again no other is to be before it. */
  isProven: boolean;
  /** Groups for which a message was confirmed that went to no other. */
  readonly proven: Set<ConsumerGroup>;
  /** What is on its way. */
  messages: number;
  bytes: number;
}

/** The longest message that RabbitMQ takes unless it is told otherwise, in bytes. */
const MOST_BYTES = 128 * 1024 * 1024;

/**
 * How often a message is sent again that the broker refuses. A queue that was made just now, or whose leader is being elected, refuses for a moment; one that is
 * full goes on refusing, and each time the queues of other groups may store the message.
 */
const MOST_REFUSALS = 4;

const backoff = exponentialBackoff({ initial: 50, max: 1000, jitter: 0.5 });

/** What may be on its way at most: messages, and bytes. */
const WINDOW_MESSAGES = 2048;
const WINDOW_BYTES = 8 * 1024 * 1024;

/** What is left of a frame for the headers, beside what every message has: a key, an id, names and numbers. */
const OVERHEAD = 1024;

/** Sends messages, in order, many on their way at a time. What was not confirmed when the connection was lost is sent again, in order. */
export class Publisher implements DriverPublisher {
  readonly #options: PublisherOptions;
  readonly #connection: Connection<RabbitLink>;
  readonly #outbox: Outbox<Parcel>;
  /** The ways of what is delayed: to all groups, to one again, and to one only. */
  readonly #toAll: Delays;
  readonly #again = new Map<ConsumerGroup, Delays>();
  readonly #toGroups = new Map<ConsumerGroup, GroupRoute>();
  readonly #ids = new MessageIds();
  #line: Line | undefined;
  /** It waits for the connection, or for what has to be declared. */
  #waiting = false;
  #scheduled = false;
  #closed = false;
  /** How many bytes a message may have, as far as the server has said. */
  #mostBytes = MOST_BYTES;

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { queueName, publishTimeout, maxPending, names, server } = options;
    this.#connection = server.connect({
      purpose: 'publishing',
      prepare: (link) => this.#prepare(link),
      onUnblocked: () => this.#pump(),
      publishTimeout,
    });
    const limits = { publishTimeout, maxPending };
    this.#outbox = new Outbox({
      queueName,
      broker: server.failures.broker,
      ...limits,
      onAdmitted: () => this.#pumpLater(),
      lastError: () => this.lastError,
    });
    this.#toAll = new Delays(names.delay, names.exchange);
  }

  /** Why nothing can be sent, as far as that is known. */
  get lastError(): unknown {
    const blocked = this.#connection.link?.blocked;
    return blocked === undefined
      ? this.#connection.lastError
      : new Error(`RabbitMQ has blocked the connection, and takes no messages: ${blocked}`);
  }

  /** The connection that it publishes on. */
  get connection(): Connection<RabbitLink> {
    return this.#connection;
  }

  publish({ key, payload, headers, delay, group, id, signal }: CheckedMessage): Promise<void> {
    checkMilliseconds('delay', delay, { most: LONGEST_DELAY });
    const json = writeHeaders(headers);
    this.#checkHeaders(json);
    const uniqueId = this.#ids.next();
    const message: Outgoing = {
      id: id ?? uniqueId,
      uniqueId,
      key,
      body: Buffer.from(writePayload(payload, this.#mostBytes, 'RabbitMQ')),
      headers: json,
      publishedAt: Date.now(),
      delay,
      attempts: 0,
    };
    const { exchange, delays } =
      group === undefined ? { exchange: this.#options.names.exchange, delays: this.#toAll } : this.#routeTo(group);
    const envelope = envelopeOf(propertiesOf(message), exchange, key);
    return this.#enqueue({ uniqueId, envelope, body: message.body, delays, group, delay, isNew: true }, signal);
  }

  /** Sends a message to one group, to be delivered there again after a delay in milliseconds. Resolves when the broker has confirmed it. */
  sendAgain(group: ConsumerGroup, message: Outgoing, delay: number): Promise<void> {
    const { again, delay: name } = this.#options.names.group(group);
    const delays = this.#again.get(group) ?? new Delays(name, again);
    this.#again.set(group, delays);
    return this.#enqueue({
      uniqueId: message.uniqueId,
      envelope: envelopeOf(propertiesOf(message), again, ''),
      body: message.body,
      delays,
      group,
      delay,
      isNew: false,
    });
  }

  /** Moves what is no message of ours to a queue of its own. Resolves when the broker has confirmed it. */
  setAside(original: Incoming, reason: string): Promise<void> {
    const messageId = original.messageId ?? this.#ids.next();
    const envelope = envelopeOf({ ...asideProperties(original, reason), messageId }, this.#options.names.aside, '');
    return this.#enqueue({
      uniqueId: messageId,
      envelope,
      body: bodyOf(original),
      delays: undefined,
      group: undefined,
      delay: 0,
      isNew: false,
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#connection.mayRecover) await this.#outbox.emptied();
    this.abandon();
  }

  abandon(): void {
    this.#closed = true;
    this.#outbox.abandon();
  }

  #routeTo(group: ConsumerGroup): GroupRoute {
    let route = this.#toGroups.get(group);
    if (route === undefined) {
      const { queue: exchange, publishDelay } = this.#options.names.group(group);
      route = { exchange, delays: new Delays(publishDelay, exchange) };
      this.#toGroups.set(group, route);
    }
    return route;
  }

  #enqueue(parcel: Parcel, signal?: AbortSignal): Promise<void> {
    const answer = this.#outbox.add(parcel, signal);
    const { delay, uniqueId, group } = parcel;
    if (delay > 0) {
      const { delayed } = this.#options;
      delayed.sent(uniqueId, delay, group);
      // The caller of `publish` gets the error.
      answer.catch(() => delayed.failed(uniqueId, group));
    }
    this.#pumpLater();
    return answer;
  }

  /** At the end of the turn: what is published in one turn travels together. */
  #pumpLater(): void {
    if (this.#scheduled || this.#waiting || this.#outbox.waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** Sends what can be sent. */
  #pump(): void {
    const line = this.#line;
    if (this.#waiting || this.#outbox.waiting.length === 0) return;
    if (line === undefined || !this.#connection.isReady) {
      void this.#wait(
        () => this.#connection.ready(),
        (error) => this.#refuse(error),
      );
      return;
    }
    if (line.link.blocked !== undefined) return;
    const now = performance.now();
    const count = this.#countSendable(line, now);
    if (count > 0) line.link.gather();
    for (const pending of this.#outbox.take(count)) this.#send(line, pending, now);
    const next = this.#outbox.waiting[0];
    const delays = next?.parcel.delays;
    if (
      next === undefined ||
      delays === undefined ||
      !hasRoom(line, next.parcel) ||
      delays.isReadyFor(remainingDelay(next, now))
    )
      return;
    void this.#wait(
      () => delays.declareFor(line.link, next.parcel.delay),
      (error) => next.fail(this.#options.server.failures.explained(error)),
    );
  }

  /** How many of those that wait can be sent at once: the window has room for them, and the levels of their delays are there. */
  #countSendable(line: Line, now: number): number {
    const { waiting } = this.#outbox;
    let { messages, bytes } = line;
    const { isProven, proven } = line;
    let count = 0;
    for (const pending of waiting) {
      const { delays, body, delay } = pending.parcel;
      if (!hasRoom({ isProven, proven, messages, bytes }, pending.parcel)) break;
      if (delay > 0 && delays?.isReadyFor(remainingDelay(pending, now)) === false) break;
      messages += 1;
      bytes += body.length;
      count += 1;
    }
    return count;
  }

  /** Goes on when something is done that has to be done before; `refuse` is for an error that no second attempt mends. */
  async #wait(something: () => Promise<void>, refuse: (error: unknown) => void): Promise<void> {
    this.#waiting = true;
    try {
      await something();
    } catch (error) {
      const line = this.#line;
      // What was declared before may be gone. Over the next connection, all is declared again.
      if (line !== undefined) this.#connection.lose(line.link, error);
      if (this.#options.server.failures.classify(error) === 'fatal') refuse(error);
      else if (this.#closed && !this.#connection.isReady) this.abandon();
    }
    this.#waiting = false;
    this.#pumpLater();
  }

  async #prepare(link: RabbitLink): Promise<void> {
    const { queueName, names, groups, server, logger } = this.#options;
    const lost = (cause: unknown) => {
      if (!this.#closed || !this.#outbox.isEmpty) this.#connection.lose(link, cause);
    };
    const channel = await link.openChannel(lost);
    await declareGroups(link, groups, { queueName, names, serverId: server.id, logger });
    this.#options.onDeclared(link);
    await channel.confirmSelect();
    const returned = new Set<string>();
    channel.on('basic.return', ({ messageId = '' }) => returned.add(messageId));
    if (this.#line !== undefined) this.#options.delayed.troubled();
    for (const delays of [
      this.#toAll,
      ...this.#again.values(),
      ...[...this.#toGroups.values()].map((route) => route.delays),
    ])
      delays.forget();
    this.#outbox.putBack();
    this.#line = { link, channel, returned, isProven: false, proven: new Set(), messages: 0, bytes: 0 };
    this.#pumpLater();
  }

  /** @param refusals how often the broker has refused it before */
  #send(line: Line, pending: Pending<Parcel>, now: number, refusals = 0): void {
    const { envelope, body, delays } = pending.parcel;
    const rest = remainingDelay(pending, now);
    const detour = rest > 0 && delays ? { ...envelope, ...delays.detour(rest) } : envelope;
    if (refusals === 0) {
      line.messages += 1;
      line.bytes += body.length;
    }
    line.channel.basicPublish(detour, body).then(
      // What came back is said in a later turn, also if that was before the confirmation.
      () => void setImmediate(() => this.#confirmed(line, pending)),
      (error: unknown) => this.#failed(line, pending, error, refusals),
    );
  }

  #confirmed(line: Line, pending: Pending<Parcel>): void {
    const { envelope, group, delay, isNew } = pending.parcel;
    if (group === undefined) line.isProven = true;
    else line.proven.add(group);
    this.#answered(line, pending);
    if (line.returned.size > 0 && line.returned.has(envelope.messageId ?? '')) {
      // Somebody has deleted what was declared. A new connection declares it again, and sends this again.
      this.#connection.lose(
        line.link,
        new Error('RabbitMQ has no queue for a message: what the queue keeps there was deleted'),
      );
      return;
    }
    if (isNew) this.#options.delayed.oneGroup.published(group, delay);
    pending.confirm();
  }

  #failed(line: Line, pending: Pending<Parcel>, error: unknown, refusals: number): void {
    const { failures } = this.#options.server;
    if (codeOf(error) === 'NACK') {
      this.#options.delayed.troubled();
      // On the way of a delay there is one queue, which nobody else is to fill. Elsewhere, some groups may have it already.
      const again = refusals + 1;
      if (pending.parcel.delay > 0 || refusals < MOST_REFUSALS) {
        // The connection keeps the process alive, as long as the queue is open.
        setTimeout(() => this.#sendOnceMore(line, pending, again), backoff(undefined, again)).unref();
        return;
      }
      this.#answered(line, pending);
      const what = `${failures.explained(error).message}: a queue is full, or cannot store it; some groups may have the message`;
      pending.fail(new BackendUnavailableError(what, { cause: error }));
      return;
    }
    this.#answered(line, pending);
    const most = largestBody(error);
    if (most !== undefined) this.#refuseLarger(most);
    // It cannot be written, and nothing of it was.
    if (codeOf(error) === 'CODEC') pending.fail(failures.explained(error));
    this.#connection.lose(line.link, error);
  }

  #answered(line: Line, { parcel }: Pending<Parcel>): void {
    line.messages -= 1;
    line.bytes -= parcel.body.length;
    if (line === this.#line) this.#pumpLater();
  }

  #sendOnceMore(line: Line, pending: Pending<Parcel>, refusals: number): void {
    // On another line it is sent again in any case.
    if (line !== this.#line) return;
    if (pending.isOver) this.#answered(line, pending);
    else this.#send(line, pending, performance.now(), refusals);
  }

  /** The server says how many bytes it takes, but not whose were more. */
  #refuseLarger(most: number): void {
    this.#mostBytes = most;
    this.#outbox.putBack();
    for (const pending of [...this.#outbox.waiting]) {
      const { length } = pending.parcel.body;
      if (length > most)
        pending.fail(
          new InvalidMessageError(
            'payload',
            `at most ${most} bytes, which is what this server takes`,
            `${length} bytes`,
          ),
        );
    }
  }

  /** The server will not take these. */
  #refuse(error: unknown): void {
    this.#outbox.refuse(this.#options.server.failures.explained(error));
  }

  /** @throws {InvalidMessageError} where the headers are more than one frame holds */
  #checkHeaders(json: string | undefined): void {
    if (json === undefined) return;
    const most = this.#options.server.frameMax - OVERHEAD;
    if (json.length <= most / 3) return;
    const bytes = Buffer.byteLength(json);
    if (bytes > most)
      throw new InvalidMessageError(
        'headers',
        `at most ${most} bytes of JSON, which is the most that RabbitMQ takes`,
        `${bytes} bytes`,
      );
  }
}

function envelopeOf(
  { contentType, contentEncoding, messageId, type, headers }: Properties,
  exchange: string,
  routingKey: string,
): Envelope {
  // Field by field: a spread of the properties takes three microseconds here, for each message.
  return {
    contentType,
    contentEncoding,
    messageId,
    type,
    headers,
    exchange,
    routingKey,
    mandatory: true,
    durable: true,
  } as Envelope;
}

function hasRoom(
  { isProven, proven, messages, bytes }: Omit<Line, 'link' | 'channel' | 'returned'>,
  { group }: Parcel,
): boolean {
  const isTaken = isProven || (group !== undefined && proven.has(group));
  return messages === 0 || (isTaken && messages < WINDOW_MESSAGES && bytes < WINDOW_BYTES);
}
