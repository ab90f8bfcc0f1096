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
  /** Called once when the channel has ended. `cause` is undefined if it was closed. */
  readonly onEnd: (cause: unknown) => void;
  /** The server did not answer in time. `closed` resolves when it has closed the channel. */
  readonly onOverdue: (error: OverdueError, closed: Promise<void>) => void;
}

/** A channel on which every request has a deadline. A missed deadline ends the channel. */
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
  /** When each message must be confirmed, as `performance.now()`, in the order of sending. */
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

  /** One timer watches all unconfirmed messages, because there are thousands in a second. */
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

  basicReject(options: Requeue): void {
    if (!reject(this.#channel, options)) this.basicNack(options);
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    // If this fails, the channel has ended.
    await this.#ask('channel.close', this.#close()).catch(() => {});
  }

  /** The client closes the channel after the answer to the previous request. */
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
    // Requests behind this one fail with the same error.
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
