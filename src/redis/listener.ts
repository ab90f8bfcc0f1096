import type { ConsumerGroup } from '../backend.js';
import type { Connection } from './connection.js';
import type { Entry } from './exchange.js';
import { isReply } from './failures.js';
import type { QueueKeys } from './keys.js';

/** What a wait has brought: new messages, or rings of the bell, or neither. */
export interface Heard {
  readonly messages: readonly Entry[];
  readonly rings: readonly string[];
}

const NOTHING: Heard = { messages: [], rings: [] };

type Reply = readonly (readonly [key: string, entries: readonly Entry[]])[] | null;

/** How long to wait before one more attempt to end a wait that had not reached the server, in milliseconds. */
const AGAIN = 10;

export interface ListenerOptions {
  /** Makes a connection, which does this when it is new. */
  readonly connect: (prepare: (connection: Connection) => Promise<void>) => Connection;
  /** For what has to be said while this one's connection waits. */
  readonly other: Connection;
  readonly keys: QueueKeys;
  readonly group: ConsumerGroup;
  readonly consumer: string;
}

/** Waits for messages, on a connection of its own: nothing else could be sent over it meanwhile. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #connection: Connection;
  /** By this the server knows the connection. */
  #clientId = '';
  #waiting = false;
  #unwanted = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#connection = options.connect(async (connection) => {
      this.#clientId = String(await connection.send(['CLIENT', 'ID']));
    });
  }

  /** Waits for at most `count` new messages, or a ring, for at most `most` milliseconds. */
  async listen(count: number, most: number): Promise<Heard> {
    this.#waiting = true;
    this.#unwanted = false;
    try {
      await this.#connection.ready();
      if (this.#unwanted) return NOTHING;
      const { group, consumer } = this.#options;
      const { stream, bell } = this.#options.keys;
      const blocking = ['COUNT', String(count), 'BLOCK', String(most), 'STREAMS', stream, bell, '>', '>'];
      const reply = (await this.#connection.send(['XREADGROUP', 'GROUP', group, consumer, ...blocking], most)) as Reply;
      if (reply === null) return NOTHING;
      const entriesOf = (wanted: string) => reply.find(([key]) => key === wanted)?.[1] ?? [];
      return { messages: entriesOf(stream), rings: entriesOf(bell).map(([id]) => id) };
    } finally {
      this.#waiting = false;
    }
  }

  /** Ends a wait, so that it takes no message that nobody wants. What it has taken by then, it returns. */
  async cancel(): Promise<void> {
    if (!this.#waiting || this.#unwanted) return;
    this.#unwanted = true;
    while (this.#waiting && this.#connection.isReady && this.#unwanted) {
      try {
        await this.#options.other.send(['CLIENT', 'UNBLOCK', this.#clientId]);
      } catch (error) {
        // Not allowed: what it has taken is found by the next exchange.
        if (isReply(error)) this.#connection.renew(error);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  close(): void {
    this.#connection.close();
  }
}
