import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import type { ConsumerGroup, QueueKey } from '../backend.js';
import type { Connection } from '../core/connection.js';
import type { DriverPublisher } from '../core/driver.js';
import { ConnectionLostError, type EngineErrors } from '../core/engine-errors.js';
import { writePayload } from '../core/envelope.js';
import { MessageIds } from '../core/message-ids.js';
import { Outbox, type Pending, remainingDelay } from '../core/outbox.js';
import { BackendUnavailableError, InvalidMessageError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
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

interface Parcel {
  readonly key: QueueKey;
  /** By which the server deduplicates. */
  readonly messageId: string;
  /** Whether the publisher gave it that id. */
  readonly hasGivenId: boolean;
  /** JSON. */
  readonly payload: string;
  /** JSON in ASCII; undefined for none. */
  readonly headers: string | undefined;
  /** In milliseconds, from when it entered. */
  readonly delay: number;
  /** The only group that gets it; undefined for all. */
  readonly group: ConsumerGroup | undefined;
}

export interface PublisherOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly connection: Connection<NatsLink>;
  /** Sees to it that the stream and its consumers are there. */
  readonly open: (link: NatsLink) => Promise<void>;
  /** A message is published for one group. Returns whether the group may be missing: `open` sees to it. */
  readonly onGroup: (group: ConsumerGroup) => boolean;
  /** Something was stored that waits for its time. */
  readonly onDelayed: () => void;
  /** How long a message may wait to be confirmed, in milliseconds. */
  readonly publishTimeout: number;
  /** How many messages may be unconfirmed at a time. */
  readonly maxPending: number;
  readonly failures: EngineErrors;
}

/** How much may be on the way at a time: a server that is slow is not flooded, and on a slow link settlements do not wait for long behind messages. */
const WINDOW_MESSAGES = 1024;
const WINDOW_CHARACTERS = 1024 * 1024;

/** The longest string that a server can be set to take, in bytes. What this one takes, it says when it is connected. */
const MOST_BYTES = 64 * 1024 * 1024;

/** The most bytes that the headers may take. The server takes 64 kB, with the id and the time. An id of the publisher is sent twice. */
const MOST_HEADERS = 65_000;

const backoff = exponentialBackoff({ initial: 50, max: 2000, jitter: 0.5 });

/** Sends messages, in order and many at a time. What is not answered is sent again, with the same id, so that it is stored once. */
export class Publisher implements DriverPublisher {
  readonly #options: PublisherOptions;
  readonly #outbox: Outbox<Parcel>;
  readonly #ids = new MessageIds();
  #running = false;
  #closed = false;
  /** What is on its way, by the token of the answer. */
  readonly #travelling = new Map<string, Pending<Parcel>>();
  /** How many characters these have. */
  #characters = 0;
  #link: NatsLink | undefined;
  #stopWatch: (() => void) | undefined;
  /** What is on its way will not be answered. */
  #broken = false;
  /** Why JetStream refused the last message that it refused for now; undefined once it has stored one. */
  #refusal: unknown;
  /** How often it has begun anew since the last message that was stored. */
  #restarts = 0;
  #wake: (() => void) | undefined;
  /** A message waits whose group may be missing. */
  #lacksGroup = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { queueName, publishTimeout, maxPending, connection, failures } = options;
    const lastError = () => connection.lastError ?? this.#refusal ?? connection.link?.refusal;
    const limits = { publishTimeout, maxPending };
    this.#outbox = new Outbox({
      queueName,
      broker: failures.broker,
      ...limits,
      onAdmitted: () => this.#poke(),
      lastError,
    });
  }

  async publish({ key, payload, headers, delay, group, id, signal }: CheckedMessage): Promise<void> {
    const written = writeHeadersHeader(headers);
    const messageId = id === undefined ? this.#ids.next() : encodeId(id);
    const most = id === undefined ? MOST_HEADERS : MOST_HEADERS - 2 * messageId.length;
    if (written !== undefined && written.length > most)
      throw new InvalidMessageError(
        'headers',
        `at most ${most} bytes of JSON in ASCII, which is the most that NATS takes`,
        `${written.length} bytes`,
      );
    const parcel = {
      key,
      messageId,
      hasGivenId: id !== undefined,
      payload: writePayload(payload, MOST_BYTES, 'NATS'),
      headers: written,
      delay,
      group,
    };
    if (group !== undefined && this.#options.onGroup(group)) this.#lacksGroup = true;
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
    this.#endWatch();
    this.#outbox.abandon();
    this.#wake?.();
  }

  /** There is a new connection. */
  reconnected(): void {
    this.#wake?.();
  }

  /** Stores a message whose time has come. @throws (a rejection) when the stream does not take it */
  async forward(link: NatsLink, subject: string, data: Uint8Array, headers: MsgHdrs): Promise<void> {
    const answer = await link.request(subject, data, headers);
    const refusal = isUnanswered(answer) ? 'the stream does not answer' : readAnswer(answer).error?.description;
    if (refusal !== undefined) throw new Error(`JetStream refuses the message: ${refusal}`);
  }

  #poke(): void {
    this.#wake?.();
    if (this.#running || this.#outbox.waiting.length === 0) return;
    this.#running = true;
    // At the end of the turn: what is published in one turn travels together.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { connection, open, failures } = this.#options;
    while (!this.#outbox.isEmpty && !(this.#closed && !connection.mayRecover)) {
      try {
        const link = await connection.acquire();
        if (this.#link !== link || this.#broken) await this.#restart(link, open);
        if (this.#lacksGroup) {
          await open(link);
          this.#lacksGroup = false;
        }
        this.#send(link);
        if (this.#outbox.isEmpty || this.#broken) continue;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } catch (error) {
        const kind = failures.classify(error);
        if (kind === 'fatal') this.#outbox.refuse(failures.explained(error));
        else if (kind === 'refused') {
          this.#refusal = error;
          this.#broken = true;
        }
      }
    }
    if (this.#closed) this.#outbox.abandon();
    this.#running = false;
    this.#endWatch();
  }

  /** Begins anew with what was not answered, over a new link or after a pause. */
  async #restart(link: NatsLink, open: (link: NatsLink) => Promise<void>): Promise<void> {
    for (const token of this.#travelling.keys()) this.#link?.forget(token);
    this.#travelling.clear();
    this.#characters = 0;
    this.#endWatch();
    this.#outbox.putBack();
    if (this.#broken) {
      this.#restarts += 1;
      // The connection keeps the process alive, as long as the queue is open.
      await new Promise((resolve) => setTimeout(resolve, backoff(undefined, this.#restarts)).unref());
      await open(link);
    }
    this.#link = link;
    this.#broken = false;
  }

  #send(link: NatsLink): void {
    const now = performance.now();
    // Again and again, since a message that is too large for the server takes no room.
    for (let count = this.#room(); count > 0; count = this.#room())
      for (const pending of this.#outbox.take(count)) this.#sendOne(link, pending, now);
    this.#watchTime(link);
  }

  /** How many of the messages that wait may be sent: one at least, where none is on its way. */
  #room(): number {
    const most = WINDOW_MESSAGES - this.#travelling.size;
    let characters = this.#characters;
    let count = 0;
    for (const { parcel } of this.#outbox.waiting) {
      if (count >= most) break;
      characters += parcel.payload.length;
      if (characters > WINDOW_CHARACTERS && count + this.#travelling.size > 0) break;
      count += 1;
    }
    return count;
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
      this.#travelling.set(token, pending);
      this.#characters += payload.length;
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
    this.#travelling.delete(token);
    this.#characters -= pending.parcel.payload.length;
    if (isUnanswered(answer)) {
      this.#beginAnew();
      return;
    }
    const { stream, error } = readAnswer(answer);
    if (error === undefined) {
      const { names } = this.#options;
      if (stream === names.stream || stream === names.delayedStream) {
        this.#restarts = 0;
        this.#refusal = undefined;
        if (pending.parcel.delay > 0) this.#options.onDelayed();
        pending.confirm();
      } else
        pending.fail(
          this.#unavailable(`The message went to stream "${stream}", which is not the queue's and takes its subjects`),
        );
    } else {
      const reason = `JetStream refuses the message: ${error.description}`;
      const kind = kindOfCode(error.err_code, error.code);
      if (kind === 'fatal') pending.fail(this.#unavailable(reason));
      else {
        this.#refusal = new Error(reason);
        if (kind === 'retryable') this.#options.connection.renew(this.#refusal);
        this.#beginAnew();
      }
    }
    this.#wake?.();
  }

  /** The stream is gone, or has no leader: what is on its way has to be sent again, after a pause. */
  #beginAnew(): void {
    this.#broken = true;
    this.#wake?.();
  }

  /** Drops the link when the message that has been on its way for longest is not answered in time, whatever comes for those behind it. */
  #watchTime(link: NatsLink): void {
    const [first] = this.#travelling;
    if (this.#stopWatch !== undefined || first === undefined) return;
    const [token, pending] = first;
    this.#stopWatch = link.watch(() => {
      this.#stopWatch = undefined;
      if (this.#travelling.get(token) === pending)
        this.#options.connection.lose(link, new ConnectionLostError('NATS did not answer in time'));
      else this.#watchTime(link);
    });
  }

  #endWatch(): void {
    this.#stopWatch?.();
    this.#stopWatch = undefined;
  }

  #unavailable(what: string): BackendUnavailableError {
    return new BackendUnavailableError(`${what} (queue "${this.#options.queueName}")`, { retryable: false });
  }
}

/** What JetStream answers to a message. */
interface Answer {
  readonly stream?: string;
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

function readAnswer(answer: Msg): Answer {
  return answer.json<Answer>();
}
