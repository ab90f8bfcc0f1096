import { jetstreamManager } from '@nats-io/jetstream';
import {
  createInbox,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type PublishOptions,
  type Subscription,
} from '@nats-io/transport-node';
import type { Link } from '../core/connection.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import { type JetStreamApi, jetStreamApi } from './api.js';
import { Heartbeat, type Pace } from './heartbeat.js';

/** Called with the answer to something that was sent. */
type OnAnswer = (answer: Msg) => void;

/** A request that waits for its answer. */
interface Request {
  readonly subject: string;
  readonly refuse: (error: unknown) => void;
}

export interface LinkOptions {
  /** Makes a connection that does not reconnect by itself, or gives the one that was handed in. */
  readonly open: (signal: AbortSignal) => Promise<NatsConnection>;
  /** Whether the connection is the queue's own, and is closed with the link. */
  readonly own: boolean;
  /** How long an answer may take, in milliseconds. */
  readonly patience: number;
  /** The JetStream domain. Undefined: that of the server. */
  readonly domain: string | undefined;
  /** How slow the links before this one were. */
  readonly pace: Pace;
  readonly lost: (cause: unknown) => void;
}

/** What the client tells of a connection, until it is stopped. */
type Statuses = ReturnType<NatsConnection['status']> & { stop?(): void };

/** A connection to a NATS server for as long as it holds, with an inbox for all answers. */
export class NatsLink implements Link {
  readonly #options: LinkOptions;
  readonly #answers = new Map<string, OnAnswer>();
  readonly #requests = new Set<Request>();
  readonly #end = new Disconnection();
  #connection: NatsConnection | undefined;
  #manager: JetStreamApi | undefined;
  #subscription: Subscription | undefined;
  #statuses: Statuses | undefined;
  #heartbeat: Heartbeat | undefined;
  #inbox = '';
  #number = 0;
  #destroyed = false;
  /** Ends the attempt to connect. */
  readonly #opening = new AbortController();
  #refusal: unknown;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** What the server refused last, without an answer to what was sent. */
  get refusal(): unknown {
    return this.#refusal;
  }

  /** Whether what is sent may leave. */
  get isUp(): boolean {
    return this.#connection !== undefined && !this.#destroyed;
  }

  /** @throws {ConnectionLostError} when it is not connected */
  get connection(): NatsConnection {
    if (this.#connection === undefined || this.#destroyed) throw new ConnectionLostError('There is no connection');
    return this.#connection;
  }

  /** What the subjects of JetStream's API begin with. */
  get api(): string {
    const { domain } = this.#options;
    return domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
  }

  /** Streams and consumers. */
  get manager(): JetStreamApi {
    if (this.#manager === undefined || this.#destroyed) throw new ConnectionLostError('There is no connection');
    return this.#manager;
  }

  async connect(): Promise<void> {
    const { open, own, patience, domain, lost } = this.#options;
    const opened = open(this.#opening.signal).then((connection) => {
      // The client may take longer than the link lasts.
      if (this.#destroyed && own) void connection.close();
      this.#connection = connection;
      return connection;
    });
    const connection = await this.#end.before(opened);
    // One that was handed in outlives this link, and what waits for its end with it.
    if (own)
      void connection.closed().then((error) => lost(error ?? new ConnectionLostError('The connection was closed')));
    void this.#watch(connection);
    this.#heartbeat = this.#ping(connection);
    // Longer than the deadline here, which drops the link.
    const manager = await jetstreamManager(connection, {
      checkAPI: false,
      timeout: 2 * patience,
      ...(domain !== undefined && { domain }),
    });
    this.#manager = jetStreamApi(manager, (call) => this.inTime(call));
    this.#inbox = newInbox(connection);
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, answer) => (error === null ? this.#answered(answer) : lost(error)),
    });
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#opening.abort();
    this.#statuses?.stop?.();
    this.#heartbeat?.stop();
    this.#end.come(new ConnectionLostError('The connection was lost before the answer'));
    const connection = this.#connection;
    if (connection === undefined || connection.isClosed()) return;
    if (this.#options.own) void connection.close();
    else this.#subscription?.unsubscribe();
  }

  /** Sends a message. @throws if the connection cannot. The link is lost then, and the caller sends over the next one. */
  publish(subject: string, data: Uint8Array | string, options?: PublishOptions): void {
    try {
      this.connection.publish(subject, data, options);
    } catch (error) {
      if (!isTooLarge(error)) this.#options.lost(error);
      throw error;
    }
  }

  /** Sends what is answered by a message. The answer may never come; `forget` ends the wait for it. Returns what to forget it by. */
  ask(subject: string, data: Uint8Array | string, onAnswer: OnAnswer, headers?: MsgHdrs): string {
    const token = String(++this.#number);
    this.publish(subject, data, { reply: `${this.#inbox}.${token}`, ...(headers !== undefined && { headers }) });
    this.#answers.set(token, onAnswer);
    return token;
  }

  forget(token: string): void {
    this.#answers.delete(token);
  }

  /**
   * Sends what is answered by a message, and waits for that.
   * @throws {ConnectionLostError} (a rejection) when it does not come in time, or cannot come any more
   * @throws `PermissionViolationError` (a rejection) when the user may not publish to the subject
   */
  async request(subject: string, data: Uint8Array | string, headers?: MsgHdrs): Promise<Msg> {
    let token = '';
    let refuse!: Request['refuse'];
    const answer = new Promise<Msg>((resolve, reject) => {
      refuse = reject;
      token = this.ask(subject, data, resolve, headers);
    });
    const request = { subject, refuse };
    this.#requests.add(request);
    try {
      return await this.inTime(answer);
    } finally {
      this.forget(token);
      this.#requests.delete(request);
    }
  }

  /** Resolves when the server has read what was sent before, and what it had sent by then is here. Rejects when the link is lost: the heartbeat notices a silent one. */
  async flush(): Promise<void> {
    await this.#end.before(this.connection.flush());
  }

  /**
   * Calls `late` when the server does not answer in time what was sent before. The time that a slow link takes does not count: half of the patience begins when
   * the server has read the request. Returns what ends the watch.
   */
  watch(late: () => void): () => void {
    const half = this.#options.patience / 2;
    let stopped = false;
    let timer = setTimeout(async () => {
      try {
        await this.flush();
      } catch {
        // The link is lost. Every request rejects then.
        return;
      }
      if (!stopped) timer = setTimeout(() => setImmediate(() => stopped || late()), half);
    }, half);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }

  /** Waits for the answer to what was sent. If the answer does not come in time, the link is lost: it may swallow more. */
  async inTime<Value>(request: Promise<Value>): Promise<Value> {
    let stop = () => {};
    const late = new Promise<never>((_, reject) => {
      stop = this.watch(() => {
        const error = new ConnectionLostError('NATS did not answer in time');
        this.#options.lost(error);
        reject(error);
      });
    });
    try {
      return await this.#end.before(Promise.race([request, late]));
    } finally {
      stop();
    }
  }

  #answered(answer: Msg): void {
    const token = answer.subject.slice(this.#inbox.length + 1);
    const onAnswer = this.#answers.get(token);
    this.#answers.delete(token);
    onAnswer?.(answer);
  }

  /** The server refuses something, and answers no request for that. */
  #refused(error: Error): void {
    this.#refusal = error;
    const forbidden = forbiddenSubject(error);
    for (const { subject, refuse } of this.#requests) if (subject === forbidden) refuse(error);
  }

  #ping(connection: NatsConnection): Heartbeat {
    const { patience, pace, lost } = this.#options;
    const socket = socketOf(connection);
    return new Heartbeat({
      // A server that does not answer is noticed within its patience.
      interval: patience / 2,
      pace,
      ping: () => connection.flush(),
      sent: () => connection.stats().outBytes,
      received: () => socket?.bytesRead ?? connection.stats().inBytes,
      onSilent: () => lost(new ConnectionLostError('NATS did not answer in time')),
    });
  }

  async #watch(connection: NatsConnection): Promise<void> {
    const statuses: Statuses = connection.status();
    this.#statuses = statuses;
    for await (const status of statuses) {
      if (this.#destroyed) return;
      // One that was handed in connects again by itself: the link is over all the same, since what was on its way is.
      if (status.type === 'disconnect') this.#options.lost(new ConnectionLostError('The connection was lost'));
      if (status.type === 'error') this.#refused(status.error);
    }
    if (!this.#destroyed) this.#options.lost(new ConnectionLostError('The connection was closed'));
  }
}

/** The subject to which the user may not publish. Undefined for another error. */
function forbiddenSubject(error: Error): string | undefined {
  return error.name === 'PermissionViolationError'
    ? (error as Error & { readonly subject?: string }).subject
    : undefined;
}

/**
 * The socket of a connection, which is private to `@nats-io/transport-node` (3.0 to 3.4). It counts bytes as they arrive; `stats()` counts a message when all of it has arrived,
 * so a large message on a slow link looks like silence. Undefined if the client keeps it elsewhere, or has another transport.
 */
export function socketOf(connection: NatsConnection): { readonly bytesRead?: number } | undefined {
  type Internals = {
    readonly protocol?: { readonly transport?: { readonly socket?: { readonly bytesRead?: number } } };
  };
  return (connection as Internals).protocol?.transport?.socket;
}

/** Creates an inbox below the prefix of a connection, which a client that is handed in has in private options. */
export function newInbox(connection: NatsConnection): string {
  const { options } = connection as { options?: { inboxPrefix?: string } };
  return createInbox(options?.inboxPrefix);
}

/** Whether an answer says that no stream or consumer received the request: it is gone, or has no leader at the moment. */
export function isUnanswered({ data, headers }: Msg): boolean {
  return data.length === 0 && headers?.code === 503;
}

/** Whether a message was not sent, because the server would not have taken it. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && error.message.includes('max_payload');
}
