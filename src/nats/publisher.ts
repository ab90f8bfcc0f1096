import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import { ConnectionLostError, type ErrorKind } from '../core/engine-errors.js';
import { writePayload } from '../core/envelope.js';
import { MessageIds } from '../core/message-ids.js';
import { type Pending, remainingDelay } from '../core/outbox.js';
import type { Batch, PublishDriver, PublishLoop } from '../core/publish-loop.js';
import { BackendUnavailableError, InvalidMessageError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
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
import { kindOfCode, RefusedError } from './nats-errors.js';
import type { NatsQueue } from './queue.js';

export interface Parcel {
  readonly key: QueueKey;
  readonly messageId: string;
  readonly hasGivenId: boolean;
  /** JSON. */
  readonly payload: string;
  /** JSON in ASCII. Undefined: there are none. */
  readonly headers: string | undefined;
  /** In milliseconds, from the publish on. */
  readonly delay: number;
  /** The only group that gets the message. Undefined: all groups. */
  readonly group: ConsumerGroup | undefined;
}

/** The largest `max_payload` that a server can have. The link knows that of its server. */
const MAX_PAYLOAD = 64 * 1024 * 1024;

/** The maximum of the server is 64 kB, with the id and the time. A given id is sent twice. */
const MAX_HEADERS = 65_000;

/** Publishes to JetStream. The server deduplicates messages that are sent again. */
export class Publisher implements PublishDriver<NatsLink, Parcel> {
  readonly mode = 'pipeline';
  /** Does not flood a slow server. On a slow link, settlements do not wait long behind messages. */
  readonly window = { messages: 1024, size: 1024 * 1024 };
  /** Sends what `write` has written. */
  loop!: PublishLoop<NatsLink, Parcel>;
  /** The undeclared groups that messages were published for. */
  readonly addressed = new Set<ConsumerGroup>();
  readonly #queue: NatsQueue;
  readonly #onDelayed: () => void;
  readonly #ids = new MessageIds();
  /** By the token of the request. */
  readonly #unconfirmed = new Map<string, Pending<Parcel>>();
  #link: NatsLink | undefined;
  #stopWatch: (() => void) | undefined;
  readonly #missing = new Set<ConsumerGroup>();

  /** @param onDelayed called when the server has stored a delayed message */
  constructor(queue: NatsQueue, onDelayed: () => void) {
    this.#queue = queue;
    this.#onDelayed = onDelayed;
  }

  write(message: CheckedMessage): Parcel {
    const { key, payload, delay, group, id } = message;
    const written = writeHeadersHeader(message);
    const messageId = id === undefined ? this.#ids.next() : encodeId(id);
    const most = id === undefined ? MAX_HEADERS : MAX_HEADERS - 2 * messageId.length;
    if (written !== undefined && written.length > most)
      throw new InvalidMessageError(
        'headers',
        `at most ${most} bytes of JSON in ASCII, the limit of NATS`,
        `${written.length} bytes`,
      );
    const json = writePayload(payload, MAX_PAYLOAD, 'NATS');
    if (group !== undefined) this.#address(group);
    return { key, messageId, hasGivenId: id !== undefined, payload: json, headers: written, delay, group };
  }

  sizeOf({ payload }: Parcel): number {
    return payload.length;
  }

  /** The streams of a new link exist. After a refusal, they may be missing. */
  async begin(link: NatsLink): Promise<void> {
    for (const token of this.#unconfirmed.keys()) this.#link?.forget(token);
    this.#unconfirmed.clear();
    this.stop();
    const isSame = link === this.#link;
    this.#link = link;
    if (isSame) await this.#queue.topology.open(link);
  }

  isPrepared({ parcel: { group } }: Pending<Parcel>): boolean {
    return group === undefined || !this.#missing.has(group);
  }

  async prepare(link: NatsLink, { parcel: { group } }: Pending<Parcel>): Promise<void> {
    const { topology } = this.#queue;
    if (!topology.creates && group !== undefined) {
      await topology.expectGroup(link, group);
      this.#missing.delete(group);
      return;
    }
    const opened = [...this.#missing];
    await topology.open(link);
    for (const group of opened) this.#missing.delete(group);
  }

  send(link: NatsLink, { messages }: Batch<Parcel>): void {
    const now = performance.now();
    for (const pending of messages) this.#sendOne(link, pending, now);
    this.#watchOldest(link);
  }

  /** Stops its timer. */
  stop(): void {
    this.#stopWatch?.();
    this.#stopWatch = undefined;
  }

  /** Declared groups exist already. */
  #address(group: ConsumerGroup): void {
    if (this.#queue.options.groupsDeclared || this.addressed.has(group)) return;
    this.addressed.add(group);
    this.#missing.add(group);
  }

  #sendOne(link: NatsLink, pending: Pending<Parcel>, now: number): void {
    const { names } = this.#queue;
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
      const token: string = link.ask(subject, bytes, (response) => this.#responded(token, pending, response), facts);
      this.#unconfirmed.set(token, pending);
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      const most = link.connection.info?.max_payload;
      const received = `${bytes.length} bytes and ${headers?.length ?? 0} of headers`;
      pending.fail(
        new InvalidMessageError(
          'payload',
          `at most ${most} bytes with its headers, the max_payload of this server`,
          received,
        ),
      );
    }
  }

  #responded(token: string, pending: Pending<Parcel>, response: Msg): void {
    this.#unconfirmed.delete(token);
    if (this.#unconfirmed.size === 0) this.stop();
    const { names, connection } = this.#queue;
    const { stream, refusal } = readResponse(response);
    if (refusal === undefined && (stream === names.stream || stream === names.delayedStream)) {
      this.loop.accepted();
      if (pending.parcel.delay > 0) this.#onDelayed();
      pending.confirm();
    } else if (refusal === undefined) {
      const reason = `Stream "${stream}" of another program has the subjects of the queue, and stored the message`;
      pending.fail(this.#unavailable(reason));
    } else if (refusal.kind === 'fatal') pending.fail(this.#unavailable(refusal.error.message));
    else {
      if (refusal.kind === 'retryable') connection.renew(refusal.error);
      this.loop.restart(refusal.error);
    }
    this.loop.wake();
  }

  /** Drops the link if the oldest message is not confirmed in time, also if later ones are. */
  #watchOldest(link: NatsLink): void {
    const [first] = this.#unconfirmed;
    if (this.#stopWatch !== undefined || first === undefined) return;
    const [token, pending] = first;
    this.#stopWatch = link.watch(() => {
      this.#stopWatch = undefined;
      if (this.#unconfirmed.get(token) === pending)
        this.#queue.connection.lose(link, new ConnectionLostError('NATS did not answer in time'));
      else this.#watchOldest(link);
    });
  }

  #unavailable(reason: string): BackendUnavailableError {
    return new BackendUnavailableError(`${reason} (queue "${this.#queue.options.name}")`, { retryable: false });
  }
}

/**
 * Stores a message, and waits for the confirm.
 * @throws {RefusedError} if the stream refuses the message
 */
export async function store(link: NatsLink, subject: string, data: Uint8Array, headers?: MsgHdrs): Promise<void> {
  const { refusal } = readResponse(await link.request(subject, data, headers));
  if (refusal !== undefined) throw refusal.error;
}

interface PublishResponse {
  readonly stream?: string;
  readonly refusal?: { readonly kind: ErrorKind; readonly error: Error };
}

function readResponse(response: Msg): PublishResponse {
  // The stream is gone, or has no leader.
  if (isUnanswered(response))
    return { refusal: { kind: 'refused', error: new ConnectionLostError('The stream does not answer') } };
  const { stream = '', error } = response.json<{
    readonly stream?: string;
    readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
  }>();
  if (error === undefined) return { stream };
  const reason = `JetStream refuses the message: ${error.description}`;
  return { refusal: { kind: kindOfCode(error.err_code, error.code), error: new RefusedError(reason) } };
}
