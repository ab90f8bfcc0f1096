import type { LinkChannel } from './client.js';
import { nextTurn } from './deadlines.js';
import { codeOf } from './rabbitmq-errors.js';

/** A consumer of a queue, from `basic.consume` to `basic.cancel`. */
export interface Consumer {
  readonly consumerTag: string;
  readonly queue: string;
}

export interface SilentConsumersOptions {
  readonly channel: LinkChannel;
  readonly consumers: ReadonlySet<Consumer>;
  /** Whether the broker may deliver more messages. */
  readonly hasCredit: () => boolean;
  /** Resolves after this many milliseconds, or when the channel has ended. */
  readonly pause: (milliseconds: number) => Promise<void>;
  readonly onSilent: (error: unknown) => void;
}

/** How often an idle channel is checked, in milliseconds. */
const INTERVAL = 5000;

/**
 * How many checks in a row must find undelivered messages, and the pause between them in
 * milliseconds. Messages in transit to other consumers may seem to wait, but not each time.
 */
const CHECKS = 5;
const PAUSE = 200;

/**
 * Notices that the broker delivers nothing although there is credit. When a queue is deleted under
 * load and another process declares it again, RabbitMQ 3.10 may drop a consumer without
 * `basic.cancel`. The channel can still settle deliveries then.
 */
export class SilentConsumers {
  readonly #options: SilentConsumersOptions;
  readonly #timer: NodeJS.Timeout;
  #wasActive = true;
  #stopped = false;

  constructor(options: SilentConsumersOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#check(), INTERVAL).unref();
  }

  /** A message has arrived or was settled. */
  noteActivity(): void {
    this.#wasActive = true;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const { hasCredit, consumers, onSilent } = this.#options;
    const wasIdle = !this.#wasActive && hasCredit();
    this.#wasActive = false;
    if (!wasIdle) return;
    try {
      for (const consumer of consumers) {
        const found = await this.#undeliveredTo(consumer);
        if (found === undefined) continue;
        onSilent(new Error(`Queue "${consumer.queue}" has ${found}, and delivers none here`));
        return;
      }
    } catch (error) {
      // Any other error ends the channel.
      if (codeOf(error) === 'NOT_FOUND') onSilent(error);
    }
  }

  /** Describes what a queue does not deliver to a consumer. Undefined: it delivers everything. */
  async #undeliveredTo(consumer: Consumer): Promise<string | undefined> {
    const { channel, consumers, pause } = this.#options;
    const { queue } = consumer;
    const isMoot = () => this.#wasActive || this.#stopped || !consumers.has(consumer);
    let found: string | undefined;
    for (let check = 0; check < CHECKS; check++) {
      if (check > 0) await pause(PAUSE);
      if (isMoot() || !channel.active) return undefined;
      const { consumerCount, messageCount } = await channel.queueDeclare({ queue, passive: true });
      // The client delivers what has arrived in a later turn.
      await nextTurn();
      if (isMoot() || (consumerCount > 0 && messageCount === 0)) return undefined;
      found = `${consumerCount} consumers and ${messageCount} messages`;
    }
    return found;
  }
}
