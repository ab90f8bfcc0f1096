import { Disconnection } from '../core/disconnection.js';
import type { Channel, Envelope, LinkChannel, Requeue } from './client.js';
import { reject } from './client-internals.js';
import { type Deadlines, nextTurn, OverdueError } from './deadlines.js';

/** The shortest pause between two checks of unconfirmed messages, in milliseconds. */
const LEAST_PAUSE = 100;

/** The requests that the server answers. */
type RequestName = {
  [Name in keyof Channel]: Channel[Name] extends (...options: never[]) => Promise<unknown> ? Name : never;
}[keyof Channel];

export interface TimedChannelOptions {
  readonly deadlines: Deadlines;
  /** Called once when the channel has ended, with the reason if there is one. */
  readonly onEnd: (cause: unknown) => void;
  /**
   * Called when the server did not answer in time. `closed` resolves when the server has closed the
   * channel after all.
   */
  readonly onOverdue: (error: OverdueError, closed: Promise<void>) => void;
}

/**
 * A channel of the client on which every request has a deadline. A missed deadline ends the channel
 * for its user.
 */
export class TimedChannel implements LinkChannel {
  readonly queueDeclare = this.#timed('queueDeclare', 'queue.declare');
  readonly queueBind = this.#timed('queueBind', 'queue.bind');
  readonly queueDelete = this.#timed('queueDelete', 'queue.delete');
  readonly queuePurge = this.#timed('queuePurge', 'queue.purge');
  readonly exchangeDeclare = this.#timed('exchangeDeclare', 'exchange.declare');
  readonly exchangeBind = this.#timed('exchangeBind', 'exchange.bind');
  readonly exchangeDelete = this.#timed('exchangeDelete', 'exchange.delete');
  readonly confirmSelect = this.#timed('confirmSelect', 'confirm.select');
  readonly basicQos = this.#timed('basicQos', 'basic.qos');
  readonly basicConsume = this.#timed('basicConsume', 'basic.consume');
  readonly basicCancel = this.#timed('basicCancel', 'basic.cancel');
  readonly on: Channel['on'];
  readonly #channel: Channel;
  readonly #options: TimedChannelOptions;
  readonly #end = new Disconnection();
  #isOver = false;
  #closed: Promise<void> | undefined;
  /**
   * When each message must be confirmed, as `performance.now()`, by its number, in the order of
   * sending.
   */
  readonly #unconfirmed = new Map<number, number>();
  #published = 0;
  #check: NodeJS.Timeout | undefined;

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

  /** One timer watches all unconfirmed messages: there are thousands in a second. */
  basicPublish(envelope: Envelope, body: Buffer): Promise<unknown> {
    const { deadlines } = this.#options;
    const answer = this.#channel.basicPublish(envelope, body);
    const number = ++this.#published;
    deadlines.sent(body.length);
    this.#unconfirmed.set(number, performance.now() + deadlines.responseTimeout);
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

  /** Requeues a delivery that failed. If the client cannot reject it, it is nacked. */
  basicReject(options: Requeue): void {
    if (!reject(this.#channel, options)) this.basicNack(options);
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    await this.#ask('channel.close', this.#close()).catch(() => {
      // Its user has no use for the error: the channel has ended.
    });
  }

  /** The client closes the channel after the answer to the request before. */
  #close(): Promise<void> {
    this.#closed ??= this.#channel.close();
    return this.#closed;
  }

  #timed<Name extends RequestName>(name: Name, request: string): Channel[Name] {
    const send = (...options: never[]) =>
      this.#ask(
        request,
        (this.#channel[name] as (...options: never[]) => Promise<unknown>).call(this.#channel, ...options),
      );
    return send as Channel[Name];
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
    // Requests behind the same answer fail with it.
    this.#end.come(error);
    this.#options.onOverdue(error, this.#close());
  }

  #over(cause: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#check);
    this.#options.onEnd(cause);
  }

  #watch(): void {
    const first = this.#firstUnconfirmed;
    if (first === undefined || this.#check !== undefined || this.#isOver) return;
    this.#check = setTimeout(() => void this.#checkOverdue(), Math.max(LEAST_PAUSE, first - performance.now())).unref();
  }

  async #checkOverdue(): Promise<void> {
    await nextTurn();
    this.#check = undefined;
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
