import { Disconnection } from '../core/disconnection.js';
import type { Channel, Envelope, Incoming, LinkChannel, QueueOptions, Requeue } from './client.js';
import { type Deadlines, nextTurn } from './deadlines.js';
import { OverdueError } from './patience.js';

/** How the client identifies `basic.reject`: by its class, 60, and its method, 90. */
const BASIC_REJECT = 60 * 2 ** 16 + 90;

/** The shortest pause between two looks at what is not confirmed, in milliseconds. */
const LEAST_PAUSE = 100;

export interface TimedChannelOptions {
  readonly deadlines: Deadlines;
  /** The channel has ended, for what reason, if there is one. Called once. */
  readonly onEnd: (cause: unknown) => void;
  /** The server did not answer in time. `closed` resolves when it has answered after all, and the channel is closed. */
  readonly onOverdue: (error: OverdueError, closed: Promise<void>) => void;
}

/** A channel of the client on which every request has a deadline. When one passes, the channel has ended for whoever uses it. */
export class TimedChannel implements LinkChannel {
  readonly on: Channel['on'];
  readonly #channel: Channel;
  readonly #options: TimedChannelOptions;
  readonly #end = new Disconnection();
  #isOver = false;
  #closed: Promise<void> | undefined;
  /** Until when messages have to be confirmed, by their numbers, in the order in which they were sent. By the clock of `performance`. */
  readonly #unconfirmed = new Map<number, number>();
  #published = 0;
  #look: NodeJS.Timeout | undefined;

  constructor(channel: Channel, options: TimedChannelOptions) {
    this.#channel = channel;
    this.#options = options;
    this.on = channel.on.bind(channel) as Channel['on'];
    let cause: unknown;
    channel.on('error', (error) => {
      cause ??= error;
    });
    channel.on('close', () => this.#over(cause));
  }

  get active(): boolean {
    return !this.#isOver && this.#channel.active;
  }

  queueDeclare(options: QueueOptions): ReturnType<Channel['queueDeclare']> {
    return this.#ask('queue.declare', this.#channel.queueDeclare(options));
  }

  exchangeDeclare(options: Parameters<Channel['exchangeDeclare']>[0]): Promise<unknown> {
    return this.#ask('exchange.declare', this.#channel.exchangeDeclare(options));
  }

  queueBind(options: Parameters<Channel['queueBind']>[0]): Promise<unknown> {
    return this.#ask('queue.bind', this.#channel.queueBind(options));
  }

  exchangeBind(options: Parameters<Channel['exchangeBind']>[0]): Promise<unknown> {
    return this.#ask('exchange.bind', this.#channel.exchangeBind(options));
  }

  queueDelete(options: Parameters<Channel['queueDelete']>[0]): Promise<unknown> {
    return this.#ask('queue.delete', this.#channel.queueDelete(options));
  }

  exchangeDelete(options: Parameters<Channel['exchangeDelete']>[0]): Promise<unknown> {
    return this.#ask('exchange.delete', this.#channel.exchangeDelete(options));
  }

  queuePurge(options: Parameters<Channel['queuePurge']>[0]): ReturnType<Channel['queuePurge']> {
    return this.#ask('queue.purge', this.#channel.queuePurge(options));
  }

  confirmSelect(): Promise<unknown> {
    return this.#ask('confirm.select', this.#channel.confirmSelect());
  }

  basicQos(options: Parameters<Channel['basicQos']>[0]): Promise<unknown> {
    return this.#ask('basic.qos', this.#channel.basicQos(options));
  }

  basicConsume(
    options: Parameters<Channel['basicConsume']>[0],
    deliver: (message: Incoming) => void,
  ): Promise<unknown> {
    return this.#ask('basic.consume', this.#channel.basicConsume(options, deliver));
  }

  basicCancel(options: Parameters<Channel['basicCancel']>[0]): Promise<unknown> {
    return this.#ask('basic.cancel', this.#channel.basicCancel(options));
  }

  /** One timer for all messages that are not confirmed: there are thousands in a second. */
  basicPublish(envelope: Envelope, body: Buffer): Promise<unknown> {
    const { deadlines } = this.#options;
    const answer = this.#channel.basicPublish(envelope, body);
    const number = ++this.#published;
    deadlines.sent(body.length);
    this.#unconfirmed.set(number, performance.now() + deadlines.patience);
    const answered = (isConfirmed: boolean) => {
      this.#unconfirmed.delete(number);
      deadlines.answered(body.length, isConfirmed);
    };
    answer.then(
      () => answered(true),
      () => answered(false),
    );
    this.#watch();
    return answer;
  }

  basicAck(options: Parameters<Channel['basicAck']>[0]): void {
    this.#channel.basicAck(options);
  }

  basicNack(options: Parameters<Channel['basicNack']>[0]): void {
    this.#channel.basicNack(options);
  }

  /**
   * Requeues a delivery that failed: from version 4.3 on, RabbitMQ does not count a nack toward a
   * `delivery-limit`. The client has no method for it. If the client hides how it sends requests, the
   * delivery is nacked.
   */
  basicReject(options: Requeue): void {
    const client = this.#channel as { _invokeNowait?: (method: number, options: Requeue) => void };
    if (client._invokeNowait === undefined) this.basicNack(options);
    else client._invokeNowait(BASIC_REJECT, options);
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    await this.#ask('channel.close', this.#close()).catch(() => {
      // It is given up, and that ends it, too.
    });
  }

  /** The client closes it when the request before was answered. */
  #close(): Promise<void> {
    this.#closed ??= this.#channel.close();
    return this.#closed;
  }

  async #ask<Answer>(request: string, answer: Promise<Answer>): Promise<Answer> {
    try {
      return await this.#options.deadlines.answerTo(request, this.#end.before(answer));
    } catch (error) {
      if (error instanceof OverdueError) this.#giveUp(error);
      throw error;
    }
  }

  #giveUp(error: OverdueError): void {
    if (this.#isOver) return;
    this.#over(error);
    // What waits behind the same answer need not wait for its own deadline.
    this.#end.come(error);
    this.#options.onOverdue(error, this.#close());
  }

  #over(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#look);
    this.#options.onEnd(cause);
  }

  #watch(): void {
    const first = this.#firstUnconfirmed;
    if (first === undefined || this.#look !== undefined || this.#isOver) return;
    this.#look = setTimeout(
      () => void this.#lookForOverdue(),
      Math.max(LEAST_PAUSE, first - performance.now()),
    ).unref();
  }

  async #lookForOverdue(): Promise<void> {
    await nextTurn();
    this.#look = undefined;
    const first = this.#firstUnconfirmed;
    const { deadlines } = this.#options;
    if (first !== undefined && first <= performance.now() && !deadlines.isHeldUp)
      this.#giveUp(deadlines.overdue('basic.publish'));
    else this.#watch();
  }

  get #firstUnconfirmed(): number | undefined {
    return this.#unconfirmed.values().next().value;
  }
}
