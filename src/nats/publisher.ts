import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import type { Connection } from '../core/connection.js';
import { ConnectionLostError, type ErrorKind } from '../core/engine-errors.js';
import { writePayload } from '../core/envelope.js';
import { MessageIds } from '../core/message-ids.js';
import { type Pending, remainingDelay } from '../core/outbox.js';
import type { Batch, PublishDriver, PublishLoop } from '../core/publish-loop.js';
import { BackendUnavailableError, InvalidMessageError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { kindOfCode } from './api-errors.js';
import { isTooLarge, isUnanswered, type NatsLink } from './link.js';
import {
  encodeId,
  GIVEN_ID_HEADER,
  HEADERS_HEADER,
  ID_HEADER,
  PUBLISHED_AT_HEADER,
  reservePublishedAt,
  writeHeadersHeader,
} from './message.js';
import type { QueueNames } from './names.js';
import { RefusedError } from './nats-errors.js';

export interface Parcel {
  readonly key: QueueKey;
  /** By which the server deduplicates. */
  readonly messageId: string;
  /** Whether the publisher gave it that id. */
  readonly hasGivenId: boolean;
  /** JSON. */
  readonly payload: string;
  /** JSON in ASCII; undefined for none. */
  readonly headers: string | undefined;
  /** In milliseconds, from when it was published. */
  readonly delay: number;
  /** The only group that gets it; undefined for all. */
  readonly group: ConsumerGroup | undefined;
}

export interface PublisherOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly connection: Connection<NatsLink>;
  /** Creates the stream and its consumers if they are missing. */
  readonly open: (link: NatsLink) => Promise<void>;
  /** A message is published for one group. Returns whether the group may be missing: `open` creates it. */
  readonly onGroup: (group: ConsumerGroup) => boolean;
  /** The server has stored a delayed message. */
  readonly onDelayed: () => void;
}

/** The longest string that a server can be set to take, in bytes. What this one takes, it says when it is connected. */
const MOST_BYTES = 64 * 1024 * 1024;

/** The most bytes that the headers may take. The server takes 64 kB, with the id and the time. An id of the publisher is sent twice. */
const MOST_HEADERS = 65_000;

/** Publishes to JetStream. A message that is sent again has the same id, so the server stores it once. */
export class Publisher implements PublishDriver<NatsLink, Parcel> {
  readonly mode = 'pipeline';
  /** A slow server is not flooded, and on a slow link settlements do not wait long behind messages. */
  readonly window = { messages: 1024, size: 1024 * 1024 };
  /** Sends what `write` has written. */
  loop!: PublishLoop<NatsLink, Parcel>;
  readonly #options: PublisherOptions;
  readonly #ids = new MessageIds();
  /** The messages that are not confirmed, by the token of the answer. */
  readonly #unconfirmed = new Map<string, Pending<Parcel>>();
  #link: NatsLink | undefined;
  #stopWatch: (() => void) | undefined;
  /** The groups that may be missing. */
  readonly #missing = new Set<ConsumerGroup>();

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  write(message: CheckedMessage): Parcel {
    const { key, payload, delay, group, id } = message;
    const written = writeHeadersHeader(message);
    const messageId = id === undefined ? this.#ids.next() : encodeId(id);
    const most = id === undefined ? MOST_HEADERS : MOST_HEADERS - 2 * messageId.length;
    if (written !== undefined && written.length > most)
      throw new InvalidMessageError(
        'headers',
        `at most ${most} bytes of JSON in ASCII, which is the most that NATS takes`,
        `${written.length} bytes`,
      );
    const json = writePayload(payload, MOST_BYTES, 'NATS');
    if (group !== undefined && this.#options.onGroup(group)) this.#missing.add(group);
    return { key, messageId, hasGivenId: id !== undefined, payload: json, headers: written, delay, group };
  }

  sizeOf({ payload }: Parcel): number {
    return payload.length;
  }

  /** The streams of a new link are there. After a refusal they may be missing. */
  async begin(link: NatsLink): Promise<void> {
    for (const token of this.#unconfirmed.keys()) this.#link?.forget(token);
    this.#unconfirmed.clear();
    this.stop();
    const isSame = link === this.#link;
    this.#link = link;
    if (isSame) await this.#options.open(link);
  }

  isPrepared({ parcel: { group } }: Pending<Parcel>): boolean {
    return group === undefined || !this.#missing.has(group);
  }

  async prepare(link: NatsLink): Promise<void> {
    await this.#options.open(link);
    this.#missing.clear();
  }

  send(link: NatsLink, { messages }: Batch<Parcel>): void {
    const now = performance.now();
    for (const pending of messages) this.#sendOne(link, pending, now);
    this.#watchTime(link);
  }

  /** Stops its timer. */
  stop(): void {
    this.#stopWatch?.();
    this.#stopWatch = undefined;
  }

  #sendOne(link: NatsLink, pending: Pending<Parcel>, now: number): void {
    const { names } = this.#options;
    const { key, messageId, hasGivenId, payload, headers, group } = pending.parcel;
    const rest = remainingDelay(pending, now);
    const facts = createHeaders();
    facts.set(ID_HEADER, messageId);
    if (hasGivenId) facts.set(GIVEN_ID_HEADER, messageId);
    if (rest > 0) facts.set(PUBLISHED_AT_HEADER, reservePublishedAt(hasGivenId));
    if (headers !== undefined) facts.set(HEADERS_HEADER, headers);
    const subject = rest === 0 ? names.subject(key, group) : names.delayedSubject(key, rest, group);
    const bytes = Buffer.from(payload);
    try {
      const token: string = link.ask(subject, bytes, (answer) => this.#answered(token, pending, answer), facts);
      this.#unconfirmed.set(token, pending);
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      const most = link.connection.info?.max_payload;
      const received = `${bytes.length} bytes and ${headers?.length ?? 0} of headers`;
      pending.fail(
        new InvalidMessageError(
          'payload',
          `at most ${most} bytes with its headers, which is what this server takes (max_payload)`,
          received,
        ),
      );
    }
  }

  #answered(token: string, pending: Pending<Parcel>, answer: Msg): void {
    this.#unconfirmed.delete(token);
    if (this.#unconfirmed.size === 0) this.stop();
    const { names, connection, onDelayed } = this.#options;
    const { stream, refusal } = readAnswer(answer);
    if (refusal === undefined) {
      if (stream === names.stream || stream === names.delayedStream) {
        this.loop.accepted();
        if (pending.parcel.delay > 0) onDelayed();
        pending.confirm();
      } else
        pending.fail(
          this.#unavailable(`The message went to stream "${stream}", which is not the queue's and takes its subjects`),
        );
    } else if (refusal.kind === 'fatal') pending.fail(this.#unavailable(refusal.error.message));
    else {
      if (refusal.kind === 'retryable') connection.renew(refusal.error);
      this.loop.restart(refusal.error);
    }
    this.loop.wake();
  }

  /** Drops the link if the oldest message is not confirmed in time, whatever is confirmed behind it. */
  #watchTime(link: NatsLink): void {
    const [first] = this.#unconfirmed;
    if (this.#stopWatch !== undefined || first === undefined) return;
    const [token, pending] = first;
    this.#stopWatch = link.watch(() => {
      this.#stopWatch = undefined;
      if (this.#unconfirmed.get(token) === pending)
        this.#options.connection.lose(link, new ConnectionLostError('NATS did not answer in time'));
      else this.#watchTime(link);
    });
  }

  #unavailable(what: string): BackendUnavailableError {
    return new BackendUnavailableError(`${what} (queue "${this.#options.queueName}")`, { retryable: false });
  }
}

/** Stores a message, such as one that is due. @throws (a rejection) if the stream does not take it */
export async function store(link: NatsLink, subject: string, data: Uint8Array, headers?: MsgHdrs): Promise<void> {
  const { refusal } = readAnswer(await link.request(subject, data, headers));
  if (refusal !== undefined) throw refusal.error;
}

interface Answer {
  readonly stream?: string;
  readonly refusal?: { readonly kind: ErrorKind; readonly error: Error };
}

/** Reads what JetStream answers to a message. */
function readAnswer(answer: Msg): Answer {
  // The stream is gone, or has no leader.
  if (isUnanswered(answer))
    return { refusal: { kind: 'refused', error: new ConnectionLostError('The stream does not answer') } };
  const { stream = '', error } = answer.json<{
    readonly stream?: string;
    readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
  }>();
  if (error === undefined) return { stream };
  const reason = `JetStream refuses the message: ${error.description}`;
  return { refusal: { kind: kindOfCode(error.err_code, error.code), error: new RefusedError(reason) } };
}
