import type { Link } from '../broker/connection.js';
import { End } from '../broker/end.js';
import { ConnectionLostError } from '../broker/failures.js';
import type { Channel, Client } from './client.js';

/** How often it looks whether the process has stood still, in a lease; and how long it remembers that it has, in milliseconds. */
const LOOKS = 4;
const STOOD_STILL = 2000;

/** How long a connection may take to say goodbye, in milliseconds. */
const LONGEST_GOODBYE = 1000;

export interface RabbitLinkOptions {
  readonly client: Client;
  /** The connection is ours alone, to be ended; else it is only used, and connects anew by itself. */
  readonly owned: boolean;
  /** How long this process may stand still before the server takes it for dead, in milliseconds. */
  readonly lease: number;
  readonly lost: (cause: unknown) => void;
  /** The server takes messages again. */
  readonly onUnblocked?: (() => void) | undefined;
}

/** One connection to a server for as long as it lasts, and the channels on it. */
export class RabbitLink implements Link {
  readonly #options: RabbitLinkOptions;
  readonly #channels = new Set<Channel>();
  readonly #end = new End();
  #over = false;
  #cause: unknown;
  #blocked: string | undefined;
  readonly #watch: NodeJS.Timeout;
  #lookedAt = performance.now();
  #stoodStillAt = Number.NEGATIVE_INFINITY;

  constructor(options: RabbitLinkOptions) {
    this.#options = options;
    const { client } = options;
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

  /** The most bytes of a frame that the server has agreed to, as far as the client tells. */
  get frameMax(): number | undefined {
    const { frameMax } = (this.#options.client as { _state?: { frameMax?: unknown } })._state ?? {};
    return typeof frameMax === 'number' ? frameMax : undefined;
  }

  async connect(): Promise<void> {
    const { client, owned } = this.#options;
    if (owned) {
      const connected = new Promise<void>((resolve) => client.on('connection', resolve));
      await this.#end.before(connected);
    } else {
      // It may have been connected long ago: whether it is, a channel tells.
      const channel = await this.openChannel(() => {});
      this.#channels.delete(channel);
      await channel.close();
    }
  }

  /**
   * Opens a channel. `onClosed` hears of its end, unless the link is over.
   * @throws {ConnectionLostError} (a rejection, as all that fails) when the link is over
   */
  async openChannel(onClosed: (cause: unknown) => void): Promise<Channel> {
    const opening = this.#open(onClosed);
    // One that opens too late is closed at once. The caller gets the error of one that does not open.
    opening.then(
      (channel) => this.#over && void channel.close(),
      () => {},
    );
    return this.#end.before(opening);
  }

  async #open(onClosed: (cause: unknown) => void): Promise<Channel> {
    const channel = await this.#options.client.acquire({ emitErrorsFromChannel: true });
    let cause: unknown;
    this.#channels.add(channel);
    channel.on('error', (error) => {
      cause ??= error;
    });
    channel.on('close', () => {
      this.#channels.delete(channel);
      onClosed(cause ?? this.#cause ?? new ConnectionLostError('The channel was closed'));
    });
    return channel;
  }

  /**
   * What is written in this turn travels together. The client writes frame by frame, and each write costs more than the frame; where it hides its socket
   * otherwise than today, that is all that is lost.
   */
  gather(): void {
    const socket = (this.#options.client as { _socket?: { cork?: () => void; uncork?: () => void } })._socket;
    if (socket?.cork === undefined) return;
    socket.cork();
    setImmediate(() => socket.uncork?.());
  }

  /** Closes it as AMQP wants it, so that the server sees no failure in it. Resolves when that is done, or takes too long. */
  async goodbye(): Promise<void> {
    if (this.#over) return;
    const { client, owned } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, LONGEST_GOODBYE);
    });
    const closed = Promise.all([...this.#channels].map((channel) => channel.close())).then(() => (owned ? client.close() : undefined));
    // A channel that cannot be closed has ended. The connection ends after this in any case.
    await Promise.race([closed.catch(() => {}), late]);
    clearTimeout(timer);
  }

  destroy(): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    const { client, owned } = this.#options;
    this.#end.come(new ConnectionLostError('The connection was closed', { cause: this.#cause }));
    client.removeListener('connection.blocked', this.#block);
    client.removeListener('connection.unblocked', this.#unblock);
    if (owned) client.unsafeDestroy();
    else {
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
    this.#options.onUnblocked?.();
  };
}
