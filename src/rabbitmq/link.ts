import type { Link } from '../core/connection.js';
import { within } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import type { ResponseTimeout } from '../core/response-timeout.js';
import type { Channel, Client, LinkChannel } from './client.js';
import { channelMaxOf, frameMaxOf, isConnecting, socketOf } from './client-internals.js';
import { Deadlines, OverdueError } from './deadlines.js';
import { TimedChannel } from './timed-channel.js';

/** How many times in a lease the link checks whether the event loop was blocked. */
const CHECKS = 4;

/** How long the link remembers that the event loop was blocked, in milliseconds. */
const BLOCKED_UNTIL_NOW = 2000;

/** How many channels a connection has, if the client does not tell. */
const DEFAULT_CHANNEL_MAX = 2047;

/** The share of the channels for subscribers. The others publish, declare and count. */
const SHARE_OF_SUBSCRIBERS = 0.5;

/** How long a connection may take to shut down, in milliseconds. */
const SHUTDOWN_TIMEOUT = 1000;

export interface RabbitLinkOptions {
  readonly client: Client;
  /** Whether the link ends the connection. The client of a caller reconnects by itself. */
  readonly owned: boolean;
  /** Shared by successive links. */
  readonly responseTimeout: ResponseTimeout;
  /** In milliseconds. The server closes the connection if the event loop is blocked for longer. */
  readonly lease: number;
  readonly lost: (cause: unknown) => void;
  /** The server did not answer on a channel, and the link gives the channel up. */
  readonly onOverdue: (error: OverdueError) => void;
  /** The server accepts messages again. */
  readonly onUnblocked?: (() => void) | undefined;
}

/** One connection to a server, and the channels on it. */
export class RabbitLink implements Link {
  readonly #options: RabbitLinkOptions;
  readonly #channels = new Set<Channel>();
  readonly #end = new Disconnection();
  #over = false;
  #cause: unknown;
  #blocked: string | undefined;
  #unblockedAt = Number.NEGATIVE_INFINITY;
  #isConnected = false;
  #subscribers = 0;
  readonly #deadlines: Deadlines;
  readonly #watch: NodeJS.Timeout;
  #checkedAt = performance.now();
  #wasBlockedAt = Number.NEGATIVE_INFINITY;

  constructor(options: RabbitLinkOptions) {
    this.#options = options;
    const { client, responseTimeout } = options;
    this.#deadlines = new Deadlines({
      responseTimeout,
      bytesRead: () => socketOf(client)?.bytesRead ?? 0,
      isHeldUp: () => this.#isHeldUp,
    });
    client.on('error', this.#failed);
    client.on('connection.blocked', this.#block);
    client.on('connection.unblocked', this.#unblock);
    this.#watch = setInterval(() => this.#checkEventLoop(), options.lease / CHECKS).unref();
  }

  /** Whether the event loop was just blocked for a lease. The connection may have ended. */
  get wasBlocked(): boolean {
    this.#checkEventLoop();
    return performance.now() - this.#wasBlockedAt < BLOCKED_UNTIL_NOW;
  }

  /** Why the server accepts no messages. Undefined: it accepts them. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  get isOwned(): boolean {
    return this.#options.owned;
  }

  /** The most bytes of a frame that the server accepts, if the client tells. */
  get frameMax(): number | undefined {
    return frameMaxOf(this.#options.client);
  }

  /**
   * Reserves a channel for a subscriber, until `leave()`. Returns whether one was left.
   * @throws if none is left on the client of a caller, which cannot have another connection
   */
  join(): boolean {
    const channelMax = channelMaxOf(this.#options.client) ?? DEFAULT_CHANNEL_MAX;
    const isFull = this.#subscribers >= Math.ceil(channelMax * SHARE_OF_SUBSCRIBERS);
    // The client throws the same error if all of its channels are open.
    if (isFull && !this.isOwned)
      throw new Error(
        `maximum number of AMQP Channels already opened by subscribers (${this.#subscribers} of ${channelMax})`,
      );
    if (!isFull) this.#subscribers += 1;
    return !isFull;
  }

  /** Frees the channel of a subscriber. */
  leave(): void {
    this.#subscribers -= 1;
  }

  async connect(): Promise<void> {
    const { client, owned } = this.#options;
    if (owned) {
      const connected = new Promise<void>((resolve) => client.on('connection', resolve));
      await this.#end.before(connected);
    } else {
      // The client may have connected long ago. A channel tells whether it is connected.
      const channel = await this.openChannel(() => {});
      await channel.close();
    }
    this.#isConnected = true;
  }

  /**
   * Opens a channel. Calls `onClosed` when the channel ends, unless the link has ended.
   * @throws {ConnectionLostError} (a rejection) if the link has ended
   */
  async openChannel(onClosed: (cause: unknown) => void): Promise<LinkChannel> {
    const opening = this.#open(onClosed);
    try {
      return await this.#deadlines.answerTo('channel.open', this.#end.before(opening));
    } catch (error) {
      if (error instanceof OverdueError) this.#options.onOverdue(error);
      // A channel that opens too late is closed at once.
      void this.#expectClosed(opening.then((channel) => channel.close()));
      throw error;
    }
  }

  /** Sends all frames of this turn together: a write costs more than a frame. */
  gather(): void {
    const socket = socketOf(this.#options.client);
    if (socket?.cork === undefined) return;
    socket.cork();
    setImmediate(() => socket.uncork?.());
  }

  /** Closes the channels and the connection properly, so that the server logs no failure. */
  async shutDown(): Promise<void> {
    if (this.#over) return;
    const { client, owned } = this.#options;
    const closed = Promise.all([...this.#channels].map((channel) => channel.close())).then(() =>
      owned ? client.close() : undefined,
    );
    // A channel that cannot be closed has ended. `destroy()` ends the connection in any case.
    await within(
      SHUTDOWN_TIMEOUT,
      this.#end.before(closed).catch(() => {}),
    );
  }

  destroy(): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    const { client, owned } = this.#options;
    const error = new ConnectionLostError('The connection was closed', { cause: this.#cause });
    this.#end.come(error);
    client.removeListener('connection.blocked', this.#block);
    client.removeListener('connection.unblocked', this.#unblock);
    if (owned) {
      client.unsafeDestroy();
      this.#deadlines.end(error);
    } else {
      // The connection stays, and the link still waits for the server to close the channels.
      client.removeListener('error', this.#failed);
      for (const channel of this.#channels) void channel.close();
    }
  }

  async #open(onClosed: (cause: unknown) => void): Promise<LinkChannel> {
    const channel = new TimedChannel(await this.#options.client.acquire({ emitErrorsFromChannel: true }), {
      deadlines: this.#deadlines,
      onEnd: (cause) => {
        this.#channels.delete(channel);
        onClosed(cause ?? this.#cause ?? new ConnectionLostError('The channel was closed'));
      },
      onOverdue: (error, closed) => {
        this.#options.onOverdue(error);
        void this.#expectClosed(closed, error);
      },
    });
    this.#channels.add(channel);
    return channel;
  }

  /** If the server does not close a channel, only the end of the connection frees its resources. */
  async #expectClosed(closed: Promise<void>, cause?: OverdueError): Promise<void> {
    try {
      await this.#deadlines.answerTo('channel.close', closed);
    } catch (error) {
      // Any other error means that the connection has ended.
      if (error instanceof OverdueError) this.#break(cause ?? error);
    }
  }

  /** Whether no answer is late: the server accepts nothing, or the connect timeout applies. */
  get #isHeldUp(): boolean {
    if (this.#over) return false;
    if (!this.#isConnected || this.#blocked !== undefined) return true;
    return performance.now() - this.#unblockedAt < this.#options.responseTimeout.milliseconds;
  }

  /** Also gets the errors of other channels on the client of a caller. */
  readonly #failed = (error: unknown): void => {
    const { client, owned, lost } = this.#options;
    if (!owned && (error as { name?: unknown } | undefined)?.name === 'AMQPChannelError') return;
    // A client that was destroyed during the handshake opens its connection nevertheless.
    if (this.#over && owned) client.unsafeDestroy();
    this.#cause ??= error;
    lost(error);
    this.#end.come(error);
  };

  /** Ends the current connection. The client of a caller reconnects by itself. */
  #break(cause: unknown): void {
    const { client, owned } = this.#options;
    if (owned) this.#failed(cause);
    else if (this.#blocked === undefined && !isConnecting(client)) socketOf(client)?.destroy?.(cause);
  }

  #checkEventLoop(): void {
    const now = performance.now();
    if (now - this.#checkedAt > this.#options.lease) this.#wasBlockedAt = now;
    this.#checkedAt = now;
  }

  readonly #block = (reason: string): void => {
    this.#blocked = reason;
  };

  readonly #unblock = (): void => {
    this.#blocked = undefined;
    this.#unblockedAt = performance.now();
    this.#options.onUnblocked?.();
  };
}
