import type { Link } from '../core/connection.js';
import { within } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import type { Channel, Client, LinkChannel } from './client.js';
import { Deadlines } from './deadlines.js';
import { OverdueError, type Patience } from './patience.js';
import { TimedChannel } from './timed-channel.js';

/** How often it looks whether the process has stood still, in a lease; and how long it remembers that it has, in milliseconds. */
const LOOKS = 4;
const STOOD_STILL = 2000;

/** How many channels a connection has where the client does not tell. */
const DEFAULT_CHANNEL_MAX = 2047;

/** Which part of the channels is for subscribers. The others are for what is published, declared and counted. */
const SHARE_OF_SUBSCRIBERS = 0.5;

/** How long a connection may take to say shutDown, in milliseconds. */
const SHUTDOWN_TIMEOUT = 1000;

export interface RabbitLinkOptions {
  readonly client: Client;
  /** The connection is ours alone, to be ended; else it is only used, and connects anew by itself. */
  readonly owned: boolean;
  /** Shared by the links that follow one another. */
  readonly patience: Patience;
  /** How long this process may stand still before the server takes it for dead, in milliseconds. */
  readonly lease: number;
  readonly lost: (cause: unknown) => void;
  /** The server did not answer on a channel, which is given up. */
  readonly onOverdue: (error: OverdueError) => void;
  /** The server takes messages again. */
  readonly onUnblocked?: (() => void) | undefined;
}

/** What is used of the state of a client, as far as the client does not hide it. */
interface State {
  readonly frameMax?: number;
  readonly channelMax?: number;
  readonly readyState?: number;
}

/** The state of a client that has no connection, and makes one. */
const CONNECTING = 0;

/** What is used of the socket of a client, as far as the client does not hide it. */
interface Socket {
  readonly bytesRead?: number;
  cork?: () => void;
  uncork?: () => void;
  destroy?: (cause: unknown) => void;
}

/** One connection to a server for as long as it lasts, and the channels on it. */
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
  #lookedAt = performance.now();
  #stoodStillAt = Number.NEGATIVE_INFINITY;

  constructor(options: RabbitLinkOptions) {
    this.#options = options;
    const { client, patience } = options;
    this.#deadlines = new Deadlines({
      patience,
      bytesRead: () => this.#socket?.bytesRead ?? 0,
      isHeldUp: () => this.#isHeldUp,
    });
    client.on('error', this.#failed);
    client.on('connection.blocked', this.#block);
    client.on('connection.unblocked', this.#unblock);
    this.#watch = setInterval(() => this.#look(), options.lease / LOOKS).unref();
  }

  /** Whether the process stood still for a lease until just now: the server may have closed the connection, and what it said of that may not be read yet. */
  get hasStoodStill(): boolean {
    this.#look();
    return performance.now() - this.#stoodStillAt < STOOD_STILL;
  }

  /** Why the server takes no messages; undefined while it does. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  get isOwned(): boolean {
    return this.#options.owned;
  }

  /**
   * Keeps a channel for a subscriber, until it leaves. Returns whether there was one left.
   * @throws when there is none, and the connection was handed in, so that there is no other
   */
  join(): boolean {
    const { channelMax = DEFAULT_CHANNEL_MAX } = this.#state;
    const isFull = this.#subscribers >= Math.ceil(channelMax * SHARE_OF_SUBSCRIBERS);
    // As the client says it of all its channels.
    if (isFull && !this.isOwned)
      throw new Error(
        `maximum number of AMQP Channels already opened by subscribers (${this.#subscribers} of ${channelMax})`,
      );
    if (!isFull) this.#subscribers += 1;
    return !isFull;
  }

  /** A subscriber does not need its channel any more. */
  leave(): void {
    this.#subscribers -= 1;
  }

  /** The most bytes of a frame that the server has agreed to, as far as the client tells. */
  get frameMax(): number | undefined {
    return this.#state.frameMax;
  }

  async connect(): Promise<void> {
    const { client, owned } = this.#options;
    if (owned) {
      const connected = new Promise<void>((resolve) => client.on('connection', resolve));
      await this.#end.before(connected);
    } else {
      // It may have been connected long ago: whether it is, a channel tells.
      const channel = await this.openChannel(() => {});
      await channel.close();
    }
    this.#isConnected = true;
  }

  /**
   * Opens a channel. `onClosed` hears of its end, unless the link is over.
   * @throws {ConnectionLostError} (a rejection, as all that fails) when the link is over
   */
  async openChannel(onClosed: (cause: unknown) => void): Promise<LinkChannel> {
    const opening = this.#open(onClosed);
    try {
      return await this.#deadlines.answerTo('channel.open', this.#end.before(opening));
    } catch (error) {
      if (error instanceof OverdueError) this.#options.onOverdue(error);
      // One that opens too late is closed at once.
      void this.#expectClosed(opening.then((channel) => channel.close()));
      throw error;
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

  /** Nothing but the end of the connection frees what the server keeps for a channel that it does not close. */
  async #expectClosed(closed: Promise<void>, cause?: OverdueError): Promise<void> {
    try {
      await this.#deadlines.answerTo('channel.close', closed);
    } catch (error) {
      // Any other error says that the connection has ended.
      if (error instanceof OverdueError) this.#break(cause ?? error);
    }
  }

  /** Whether the server takes nothing for now, so that nothing is late. Until it is connected, the deadline of the connection counts. */
  get #isHeldUp(): boolean {
    if (this.#over) return false;
    return (
      !this.#isConnected ||
      this.#blocked !== undefined ||
      performance.now() - this.#unblockedAt < this.#options.patience.get(0)
    );
  }

  /**
   * What is written in this turn travels together. The client writes frame by frame, and each write costs more than the frame; where it hides its socket
   * otherwise than today, that is all that is lost.
   */
  gather(): void {
    const socket = this.#socket;
    if (socket?.cork === undefined) return;
    socket.cork();
    setImmediate(() => socket.uncork?.());
  }

  /** Closes it as AMQP wants it, so that the server sees no failure in it. Resolves when that is done, or takes too long. */
  async shutDown(): Promise<void> {
    if (this.#over) return;
    const { client, owned } = this.#options;
    const closed = Promise.all([...this.#channels].map((channel) => channel.close())).then(() =>
      owned ? client.close() : undefined,
    );
    // A channel that cannot be closed has ended. The connection ends after this in any case.
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
      // The connection stays: whether the server closes the channels is still of interest.
      client.removeListener('error', this.#failed);
      for (const channel of this.#channels) void channel.close();
    }
  }

  /** Also hears of the channels of others, on a connection that is not ours alone. */
  readonly #failed = (error: unknown): void => {
    if (!this.#options.owned && (error as { name?: unknown } | undefined)?.name === 'AMQPChannelError') return;
    // A client that was destroyed while it agreed with the server comes to life once more.
    if (this.#over && this.#options.owned) this.#options.client.unsafeDestroy();
    this.#cause ??= error;
    this.#options.lost(error);
    this.#end.come(error);
  };

  /** Ends the connection that the client has now. One that was handed in makes another by itself. */
  #break(cause: unknown): void {
    if (this.#options.owned) this.#failed(cause);
    else if (this.#blocked === undefined && this.#state.readyState !== CONNECTING) this.#socket?.destroy?.(cause);
  }

  get #state(): State {
    return (this.#options.client as { _state?: State })._state ?? {};
  }

  get #socket(): Socket | undefined {
    return (this.#options.client as { _socket?: Socket })._socket;
  }

  #look(): void {
    const now = performance.now();
    if (now - this.#lookedAt > this.#options.lease) this.#stoodStillAt = now;
    this.#lookedAt = now;
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
