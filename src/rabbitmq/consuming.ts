import type { Connection } from '../core/connection.js';
import type { ErrorKind } from '../core/engine-errors.js';
import type { GroupConnection } from '../core/group-loop.js';
import type { RabbitLink } from './link.js';
import { OverdueError } from './response-timeout.js';

/**
 * The connections for consuming: one, and more if there are more subscribers than a connection has
 * channels.
 */
export class Consuming {
  readonly #connect: () => Connection<RabbitLink>;
  readonly #connections: [Connection<RabbitLink>, ...Connection<RabbitLink>[]];

  constructor(connect: () => Connection<RabbitLink>) {
    this.#connect = connect;
    this.#connections = [connect()];
  }

  get connections(): readonly [Connection<RabbitLink>, ...Connection<RabbitLink>[]] {
    return this.#connections;
  }

  /**
   * Asks something over the first connection, and again when that is lost.
   * @param signal aborts when the caller gives up: `ask` then rejects with its reason
   */
  async ask<Answer>(
    signal: AbortSignal,
    classify: (error: unknown) => ErrorKind,
    ask: (link: RabbitLink) => Promise<Answer>,
  ): Promise<Answer> {
    const [connection] = this.#connections;
    for (;;) {
      const link = await connection.acquire(signal);
      try {
        return await ask(link);
      } catch (error) {
        // The connection is not to blame for callers that give up.
        if (error === signal.reason || classify(error) !== 'retryable') throw error;
        // The channel has ended, not the connection.
        if (error instanceof OverdueError) continue;
        // The error may tell of the connection's end before the connection itself does.
        connection.lose(link, error);
      }
    }
  }

  /**
   * Reserves a channel for a subscriber, on the first link that has one.
   * @throws (a rejection) if a connection that was handed in has no channel left
   */
  async join(signal: AbortSignal): Promise<{ readonly connection: Connection<RabbitLink>; readonly link: RabbitLink }> {
    for (let index = 0; ; index++) {
      const connection = this.#connections[index] ?? this.#connect();
      this.#connections[index] = connection;
      const link = await connection.acquire(signal);
      if (link.join()) return { connection, link };
    }
  }
}

/** The link of one subscriber, on which a channel is reserved for it. */
export class SubscriberConnection implements GroupConnection<RabbitLink> {
  readonly #consuming: Consuming;
  readonly #closing = new AbortController();
  #current: { readonly connection: Connection<RabbitLink>; readonly link: RabbitLink } | undefined;

  constructor(consuming: Consuming) {
    this.#consuming = consuming;
  }

  get isReady(): boolean {
    return this.link !== undefined;
  }

  get link(): RabbitLink | undefined {
    const { connection, link } = this.#current ?? {};
    return connection?.isReady && connection.link === link ? link : undefined;
  }

  async acquire(): Promise<RabbitLink> {
    const { link } = this;
    if (link !== undefined) return link;
    this.#leave();
    const joined = await this.#consuming.join(this.#closing.signal);
    this.#current = joined;
    if (this.#closing.signal.aborted) this.#leave();
    return joined.link;
  }

  /** The connection stays: other subscribers use it, and the error is not theirs. */
  drop(): void {}

  /** The end of the subscriber's channel wakes its loop. */
  onChange(): () => void {
    return () => {};
  }

  /** Frees the channel. Rejects what waits for a connection. */
  close(): void {
    this.#closing.abort();
    this.#leave();
  }

  #leave(): void {
    this.#current?.link.leave();
    this.#current = undefined;
  }
}
