import type { ConsumerGroup } from '../backend.js';
import type { Connection } from '../core/connection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import type { Entry } from './exchange.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';

/** The news that a wait returns: new messages, or wake-ups, or neither. */
export interface Heard {
  readonly messages: readonly Entry[];
  /** Ids of entries of the wake stream. */
  readonly wakeUps: readonly string[];
}

/**
 * The longest wait for a message, in milliseconds. An idle consumer sends some commands after each
 * wait: one command in six seconds.
 */
export const LONGEST_WAIT = 15_000;

const NOTHING: Heard = { messages: [], wakeUps: [] };

type Reply = readonly (readonly [key: string, entries: readonly Entry[]])[] | null;

/** How long an unused connection stays open, in milliseconds: servers limit connections. */
const MAX_IDLE = 10_000;

/** The longest wait for a connection, in milliseconds: meanwhile the consumer gets no news. */
const CONNECT_WAIT = 1000;

/**
 * The pause between attempts to end a wait, in milliseconds: it may not have reached the server.
 */
const RETRY_PAUSE = 10;

/** After this many attempts, the connection is replaced, because it may be dead. */
const MAX_ATTEMPTS = 100;

export interface ListenerOptions {
  /** Creates a connection. `prepare` is called with each new link. */
  readonly connect: (prepare: (link: RedisLink) => Promise<void>) => Connection<RedisLink>;
  /** For commands while the listener's own connection waits. */
  readonly other: Pick<Connection<RedisLink>, 'link'>;
  readonly keys: QueueKeys;
  readonly group: ConsumerGroup;
  readonly consumer: string;
}

/** Waits for messages on its own connection: a waiting connection executes no other command. */
export class Listener {
  readonly #options: ListenerOptions;
  #connection: Connection<RedisLink> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;
  #clientId = '';
  #isWaiting = false;
  #isCancelled = false;
  /** Ends the wait for a connection. */
  #giveUp: AbortController | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#connection?.isReady === true;
  }

  /**
   * Waits for at most `count` new messages, or a wake-up.
   * @param most in milliseconds. Without a connection, the wait ends after one second.
   */
  async listen(count: number, most: number): Promise<Heard> {
    clearTimeout(this.#idle);
    const connection = this.#connected();
    this.#isWaiting = true;
    this.#isCancelled = false;
    try {
      if (!connection.isReady) await this.#ready(connection, Math.min(most, CONNECT_WAIT));
      const { link } = connection;
      if (this.#isCancelled || !this.isReady || link === undefined) return NOTHING;
      const { group, consumer } = this.#options;
      const { stream, wakeStream } = this.#options.keys;
      const blocking = ['COUNT', String(count), 'BLOCK', String(most), 'STREAMS', stream, wakeStream, '>', '>'];
      const reply = (await link.send(['XREADGROUP', 'GROUP', group, consumer, ...blocking], most)) as Reply;
      if (reply === null) return NOTHING;
      const entriesOf = (wanted: string) => reply.find(([key]) => key === wanted)?.[1] ?? [];
      return { messages: entriesOf(stream), wakeUps: entriesOf(wakeStream).map(([id]) => id) };
    } finally {
      this.#isWaiting = false;
      if (!this.#isClosed) this.#idle = setTimeout(() => this.#disconnect(), MAX_IDLE).unref();
    }
  }

  /**
   * Ends a wait, so that it takes no message without credit. `listen` returns the messages that it
   * has taken by then. If the wait cannot be ended, its connection is replaced, and the next
   * exchange requeues these messages.
   */
  async cancel(): Promise<void> {
    if (!this.#isWaiting || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#giveUp?.abort();
    for (let attempts = 0; this.#isWaiting && this.isReady && this.#isCancelled; attempts++) {
      if (attempts === MAX_ATTEMPTS) return this.#connection?.renew(new Error('A wait could not be ended'));
      try {
        const { link } = this.#options.other;
        if (link === undefined) throw new ConnectionLostError('There is no connection');
        await link.send(['CLIENT', 'UNBLOCK', this.#clientId]);
      } catch (error) {
        // The user may not do this, or the server does not answer.
        return this.#connection?.renew(error);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE));
    }
  }

  /** Drops its connection. The next wait connects again. */
  drop(cause: unknown): void {
    this.#connection?.drop(cause);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    this.#connection?.close();
  }

  #connected(): Connection<RedisLink> {
    this.#connection ??= this.#options.connect(async (link) => {
      this.#clientId = String(await link.send(['CLIENT', 'ID']));
    });
    if (this.#isClosed) this.#connection.close();
    return this.#connection;
  }

  #disconnect(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Waits for the connection, for at most `most` milliseconds or until the wait is cancelled. */
  async #ready(connection: Connection<RedisLink>, most: number): Promise<void> {
    const giveUp = new AbortController();
    this.#giveUp = giveUp;
    const timer = setTimeout(() => giveUp.abort(), most);
    try {
      await connection.ready(giveUp.signal);
    } catch (error) {
      if (!giveUp.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}
