import type { Connection } from '../core/connection.js';
import type { ErrorKind } from '../core/engine-errors.js';
import type { RabbitLink } from './link.js';
import { OverdueError } from './response-timeout.js';

/**
 * The connections for consuming: one, and more where there are more subscribers than a connection
 * has channels for.
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
   * Serves one subscriber over a link that has a channel for it.
   * @throws (a rejection) when a connection was handed in that has no channel left
   */
  async serve<Result>(signal: AbortSignal, over: (link: RabbitLink) => Promise<Result>): Promise<Result> {
    const link = await this.#join(signal);
    try {
      return await over(link);
    } finally {
      link.leave();
    }
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

  async #join(signal: AbortSignal): Promise<RabbitLink> {
    for (let index = 0; ; index++) {
      const connection = this.#connections[index] ?? this.#connect();
      this.#connections[index] = connection;
      const link = await connection.acquire(signal);
      if (link.join()) return link;
    }
  }
}
