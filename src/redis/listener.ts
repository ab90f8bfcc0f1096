import type { ConsumerGroup } from '../backend.js';
import { within } from '../core/deadline.js';
import type { Connection } from './connection.js';
import type { Entry } from './exchange.js';
import type { QueueKeys } from './keys.js';

/** What a wait has brought: new messages, or rings of the bell, or neither. */
export interface Heard {
  readonly messages: readonly Entry[];
  readonly rings: readonly string[];
}

/** The longest wait for a message, in milliseconds: with what it asks after it, by turns in one command and in two, an idle consumer sends one command in six seconds. */
export const LONGEST_WAIT = 15_000;

const NOTHING: Heard = { messages: [], rings: [] };

type Reply = readonly (readonly [key: string, entries: readonly Entry[]])[] | null;

/** How long it keeps a connection that it does not wait on, in milliseconds. */
const IDLE = 10_000;

/** How long it waits for a connection at a time, in milliseconds: meanwhile whoever listens hears of nothing. */
const PATIENCE = 1000;

/** How long to wait before one more attempt to end a wait that had not reached the server, in milliseconds. */
const AGAIN = 10;

/** How many attempts there are: a connection that may be dead is dropped then. */
const ATTEMPTS = 100;

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
  #connection: Connection | undefined;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;
  /** By this the server knows the connection. */
  #clientId = '';
  #waiting = false;
  #unwanted = false;
  /** One wait for a connection, however often it is given up and begun again. */
  #connecting: Promise<void> | undefined;
  /** Ends the wait for a connection. */
  #giveUp: (() => void) | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Whether it has a connection: without one it hears of nothing. */
  get isReady(): boolean {
    return this.#connection?.isReady === true;
  }

  /** Waits for at most `count` new messages, or a ring, for at most `most` milliseconds; a second where there is no connection. */
  async listen(count: number, most: number): Promise<Heard> {
    clearTimeout(this.#idle);
    const connection = this.#connected();
    this.#waiting = true;
    this.#unwanted = false;
    try {
      if (!connection.isReady) await this.#ready(connection, Math.min(most, PATIENCE));
      if (this.#unwanted || !this.isReady) return NOTHING;
      const { group, consumer } = this.#options;
      const { stream, wakeStream } = this.#options.keys;
      const blocking = ['COUNT', String(count), 'BLOCK', String(most), 'STREAMS', stream, wakeStream, '>', '>'];
      const reply = (await connection.send(['XREADGROUP', 'GROUP', group, consumer, ...blocking], most)) as Reply;
      if (reply === null) return NOTHING;
      const entriesOf = (wanted: string) => reply.find(([key]) => key === wanted)?.[1] ?? [];
      return { messages: entriesOf(stream), rings: entriesOf(wakeStream).map(([id]) => id) };
    } finally {
      this.#waiting = false;
      if (!this.#closed) this.#idle = setTimeout(() => this.#letGo(), IDLE).unref();
    }
  }

  /**
   * Ends a wait, so that it takes no message that nobody wants. `listen` returns what it has taken by
   * then. A wait that cannot be ended loses its connection: the next exchange finds what it has taken.
   */
  async cancel(): Promise<void> {
    if (!this.#waiting || this.#unwanted) return;
    this.#unwanted = true;
    this.#giveUp?.();
    for (let attempts = 0; this.#waiting && this.isReady && this.#unwanted; attempts++) {
      if (attempts === ATTEMPTS) return this.#connection?.renew(new Error('A wait could not be ended'));
      try {
        await this.#options.other.send(['CLIENT', 'UNBLOCK', this.#clientId]);
      } catch (error) {
        // Not allowed, or not answered.
        return this.#connection?.renew(error);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  /** Drops its connection. The next wait connects anew. */
  drop(cause: unknown): void {
    this.#connection?.drop(cause);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#idle);
    this.#connection?.close();
  }

  /** The connection, made anew where it was let go. */
  #connected(): Connection {
    this.#connection ??= this.#options.connect(async (connection) => {
      this.#clientId = String(await connection.send(['CLIENT', 'ID']));
    });
    if (this.#closed) this.#connection.close();
    return this.#connection;
  }

  /** Nobody has waited for a while: a server has only so many connections. */
  #letGo(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Waits for the connection, for that many milliseconds or until nobody wants it any more. */
  async #ready(connection: Connection, most: number): Promise<void> {
    const unwanted = new Promise<void>((resolve) => {
      this.#giveUp = resolve;
    });
    this.#connecting ??= connection.ready().finally(() => {
      this.#connecting = undefined;
    });
    try {
      await within(most, Promise.race([this.#connecting, unwanted]));
    } finally {
      this.#giveUp = undefined;
    }
  }
}
