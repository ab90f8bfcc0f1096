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

type OnResponse = (response: Msg) => void;

interface Request {
  readonly subject: string;
  readonly refuse: (error: unknown) => void;
}

export interface LinkOptions {
  /** Opens a connection that does not reconnect by itself, or returns the one of the user. */
  readonly open: (signal: AbortSignal) => Promise<NatsConnection>;
  /** Whether the queue owns the connection, and closes it with the link. */
  readonly own: boolean;
  /** The deadline of a response, in milliseconds. */
  readonly timeout: number;
  /** The JetStream domain. Undefined: the domain of the server. */
  readonly domain: string | undefined;
  /** How slow the links before this one were. */
  readonly pace: Pace;
  readonly lost: (cause: unknown) => void;
}

type Statuses = ReturnType<NatsConnection['status']> & { stop?(): void };

/** One connection to a NATS server, with an inbox for all responses. */
export class NatsLink implements Link {
  readonly #options: LinkOptions;
  /** By token. */
  readonly #onResponse = new Map<string, OnResponse>();
  readonly #requests = new Set<Request>();
  readonly #end = new Disconnection();
  readonly #opening = new AbortController();
  #connection: NatsConnection | undefined;
  #manager: JetStreamApi | undefined;
  #subscription: Subscription | undefined;
  #statuses: Statuses | undefined;
  #heartbeat: Heartbeat | undefined;
  #inbox = '';
  #number = 0;
  #destroyed = false;
  #refusal: unknown;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get refusal(): unknown {
    return this.#refusal;
  }

  get isUp(): boolean {
    return this.#connection !== undefined && !this.#destroyed;
  }

  /** @throws {ConnectionLostError} if the link is not connected */
  get connection(): NatsConnection {
    return this.#connected(this.#connection);
  }

  /** @throws {ConnectionLostError} if the link is not connected */
  get manager(): JetStreamApi {
    return this.#connected(this.#manager);
  }

  /** The prefix of the subjects of JetStream's API. */
  get api(): string {
    const { domain } = this.#options;
    return domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
  }

  async connect(): Promise<void> {
    const { open, own, timeout, domain, lost } = this.#options;
    const opened = open(this.#opening.signal).then((connection) => {
      // The client may take longer than the link lasts.
      if (this.#destroyed && own) void connection.close();
      this.#connection = connection;
      return connection;
    });
    const connection = await this.#end.before(opened);
    // A connection of the user outlives this link, and would keep its listeners.
    if (own)
      void connection.closed().then((error) => lost(error ?? new ConnectionLostError('The connection was closed')));
    void this.#watchStatus(connection);
    this.#heartbeat = this.#ping(connection);
    const manager = await jetstreamManager(connection, {
      checkAPI: false,
      // Longer than the deadline of the link, which drops the link.
      timeout: 2 * timeout,
      ...(domain !== undefined && { domain }),
    });
    this.#manager = jetStreamApi(manager, (call) => this.inTime(call));
    this.#inbox = newInbox(connection);
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, response) => (error === null ? this.#responded(response) : lost(error)),
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

  /** @throws if the message cannot be sent. Unless it is too large, the link is then lost. */
  publish(subject: string, data: Uint8Array | string, options?: PublishOptions): void {
    try {
      this.connection.publish(subject, data, options);
    } catch (error) {
      if (!isTooLarge(error)) this.#options.lost(error);
      throw error;
    }
  }

  /** Sends a request without a deadline. Returns the token with which `forget` ends the wait. */
  ask(subject: string, data: Uint8Array | string, onResponse: OnResponse, headers?: MsgHdrs): string {
    const token = String(++this.#number);
    this.publish(subject, data, { reply: `${this.#inbox}.${token}`, ...(headers !== undefined && { headers }) });
    this.#onResponse.set(token, onResponse);
    return token;
  }

  forget(token: string): void {
    this.#onResponse.delete(token);
  }

  /**
   * Sends a request and waits for its response.
   * @throws {ConnectionLostError} if the response is late, or the link is lost
   * @throws `PermissionViolationError` if the user may not publish to the subject
   */
  async request(subject: string, data: Uint8Array | string, headers?: MsgHdrs): Promise<Msg> {
    let token = '';
    let refuse!: Request['refuse'];
    const response = new Promise<Msg>((resolve, reject) => {
      refuse = reject;
      token = this.ask(subject, data, resolve, headers);
    });
    const request = { subject, refuse };
    this.#requests.add(request);
    try {
      return await this.inTime(response);
    } finally {
      this.forget(token);
      this.#requests.delete(request);
    }
  }

  /**
   * Resolves when the server has read what was sent before, and its own messages until then have
   * arrived. Rejects when the link is lost: the heartbeat notices a silent one.
   */
  async flush(): Promise<void> {
    await this.#end.before(this.connection.flush());
  }

  /**
   * Calls `late` if the server does not respond in time. The time that a slow link takes does not
   * count: half of the timeout begins when the server has read the request. Returns a function that
   * ends the watch.
   */
  watch(late: () => void): () => void {
    const half = this.#options.timeout / 2;
    let stopped = false;
    let timer = setTimeout(async () => {
      try {
        await this.flush();
      } catch {
        // The link is lost, which rejects every request.
        return;
      }
      if (!stopped) timer = setTimeout(() => setImmediate(() => stopped || late()), half);
    }, half);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }

  /** Waits for a response. If it is late, the link is lost: other messages may be lost too. */
  async inTime<Value>(response: Promise<Value>): Promise<Value> {
    let stop = () => {};
    const late = new Promise<never>((_, reject) => {
      stop = this.watch(() => {
        const error = new ConnectionLostError('NATS did not answer in time');
        this.#options.lost(error);
        reject(error);
      });
    });
    try {
      return await this.#end.before(Promise.race([response, late]));
    } finally {
      stop();
    }
  }

  #connected<Value>(value: Value | undefined): Value {
    if (value === undefined || this.#destroyed) throw new ConnectionLostError('There is no connection');
    return value;
  }

  #responded(response: Msg): void {
    const token = response.subject.slice(this.#inbox.length + 1);
    const onResponse = this.#onResponse.get(token);
    this.#onResponse.delete(token);
    onResponse?.(response);
  }

  #ping(connection: NatsConnection): Heartbeat {
    const { timeout, pace, lost } = this.#options;
    const socket = socketOf(connection);
    return new Heartbeat({
      // A silent server is noticed within its timeout.
      interval: timeout / 2,
      pace,
      ping: () => connection.flush(),
      sent: () => connection.stats().outBytes,
      received: () => socket?.bytesRead ?? connection.stats().inBytes,
      onSilent: () => lost(new ConnectionLostError('NATS did not answer in time')),
    });
  }

  async #watchStatus(connection: NatsConnection): Promise<void> {
    const statuses: Statuses = connection.status();
    this.#statuses = statuses;
    for await (const status of statuses) {
      if (this.#destroyed) return;
      // A connection of the user reconnects by itself. What was sent before is lost all the same.
      if (status.type === 'disconnect') this.#options.lost(new ConnectionLostError('The connection was lost'));
      if (status.type === 'error') this.#refused(status.error);
    }
    if (!this.#destroyed) this.#options.lost(new ConnectionLostError('The connection was closed'));
  }

  /** The server refuses a message, and sends no response to it. */
  #refused(error: Error & { readonly subject?: string }): void {
    this.#refusal = error;
    if (error.name !== 'PermissionViolationError') return;
    for (const { subject, refuse } of this.#requests) if (subject === error.subject) refuse(error);
  }
}

/**
 * Returns the socket of a connection, which is private to `@nats-io/transport-node` (3.0 to 3.4).
 * The socket counts bytes as they arrive. `stats()` counts a message when all of it has arrived, so
 * a large message on a slow link looks like silence. Undefined if there is no such socket.
 */
export function socketOf(connection: NatsConnection): { readonly bytesRead?: number } | undefined {
  type Internals = {
    readonly protocol?: { readonly transport?: { readonly socket?: { readonly bytesRead?: number } } };
  };
  return (connection as Internals).protocol?.transport?.socket;
}

/** Creates an inbox with the prefix of the connection, which is in private options. */
export function newInbox(connection: NatsConnection): string {
  const { options } = connection as { options?: { inboxPrefix?: string } };
  return createInbox(options?.inboxPrefix);
}

/** Whether no stream or consumer got the request: it is missing, or has no leader at the moment. */
export function isUnanswered({ data, headers }: Msg): boolean {
  return data.length === 0 && headers?.code === 503;
}

/** Whether a message was not sent because it is larger than the server accepts. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && error.message.includes('max_payload');
}
