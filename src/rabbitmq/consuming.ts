import type { Connection } from '../core/connection.js';
import type { GroupConnection } from '../core/group-loop.js';
import type { RabbitLink } from './link.js';

/** A connection, and a link of it on which a channel is reserved. */
interface Reservation {
  readonly connection: Connection<RabbitLink>;
  readonly link: RabbitLink;
}

/** The connections for consuming: one, and more if one has too few channels for the subscribers. */
export class Consuming {
  readonly first: Connection<RabbitLink>;
  readonly #connect: () => Connection<RabbitLink>;
  readonly #connections: Connection<RabbitLink>[];

  constructor(connect: () => Connection<RabbitLink>) {
    this.#connect = connect;
    this.first = connect();
    this.#connections = [this.first];
  }

  get connections(): readonly Connection<RabbitLink>[] {
    return this.#connections;
  }

  /**
   * Reserves a channel for a subscriber, on the first link that has one left.
   * @throws (a rejection) if the connection of the caller's client has no channel left
   */
  async join(signal: AbortSignal): Promise<Reservation> {
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
  #reservation: Reservation | undefined;

  constructor(consuming: Consuming) {
    this.#consuming = consuming;
  }

  get isReady(): boolean {
    return this.link !== undefined;
  }

  get link(): RabbitLink | undefined {
    const { connection, link } = this.#reservation ?? {};
    return connection?.isReady && connection.link === link ? link : undefined;
  }

  async acquire(): Promise<RabbitLink> {
    const { link } = this;
    if (link !== undefined) return link;
    this.#leave();
    this.#reservation = await this.#consuming.join(this.#closing.signal);
    const joined = this.#reservation.link;
    if (this.#closing.signal.aborted) this.#leave();
    return joined;
  }

  /** Keeps the connection: other subscribers use it, and the error does not concern them. */
  drop(): void {}

  /** Never calls back: the end of the subscriber's channel wakes its loop. */
  onChange(): () => void {
    return () => {};
  }

  /** Frees the channel. Rejects pending calls of `acquire`. */
  close(): void {
    this.#closing.abort();
    this.#leave();
  }

  #leave(): void {
    this.#reservation?.link.leave();
    this.#reservation = undefined;
  }
}
