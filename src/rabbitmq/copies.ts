import type { GroupHost } from '../core/group-loop.js';
import { reconnectBackoff } from '../core/reconnect-backoff.js';
import { describeError } from '../internal/describe.js';
import type { Arrival } from './arrival.js';
import type { Incoming } from './client.js';
import type { GroupChannel } from './group-channel.js';
import { copyOf } from './message.js';
import { codeOf } from './rabbitmq-errors.js';
import type { SessionOptions } from './session-options.js';

const backoff = reconnectBackoff();

/**
 * Replaces messages by copies: delayed ones by a copy that is delivered later, and those for the
 * quarantine. The original is acknowledged when the broker has confirmed its copy.
 */
export class Copies {
  readonly #host: GroupHost;
  readonly #options: SessionOptions;
  readonly #unconfirmed = new Set<Promise<unknown>>();

  constructor(host: GroupHost, options: SessionOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** How many copies are unconfirmed. Their originals are in flight. */
  get size(): number {
    return this.#unconfirmed.size;
  }

  async confirmed(): Promise<void> {
    await Promise.all(this.#unconfirmed);
  }

  /** @param delay in milliseconds */
  redeliver(arrival: Arrival, delay: number): Promise<boolean> {
    const { publisher, group, queueName, log } = this.#options;
    const { id, key } = arrival.received.message;
    const copied = publisher.redeliver(group, copyOf(arrival.received), delay).then(
      () => arrival.channel.settle(arrival, 'ack'),
      (error: unknown) => {
        const which = `Message ${JSON.stringify(id)} of queue ${JSON.stringify(queueName)}`;
        log.warn(`${which} was requeued without its delay`, error, { key, id });
        return arrival.channel.settle(arrival, 'reject');
      },
    );
    return this.#add(copied);
  }

  /** Quarantines the message of a subscriber that has given it up. */
  giveUp({ channel, received }: Arrival, reason: string): Promise<boolean> {
    return this.#add(this.quarantine(channel, received.original, 'is given up', reason));
  }

  /**
   * Tries again while the channel lasts. Resolves to whether the settlement counted.
   * @param what the problem, such as `is no message`
   */
  async quarantine(channel: GroupChannel, original: Incoming, what: string, reason: string): Promise<boolean> {
    const { publisher, queueName, names, log } = this.#options;
    const { messageId: id, type: key } = original;
    const which = `Message ${JSON.stringify(id ?? null)} from queue ${JSON.stringify(queueName)}`;
    let kept = original;
    for (let attempt = 1; !channel.isOver; attempt++) {
      try {
        await publisher.quarantine(kept, reason);
        const without = kept === original ? '' : ', without its headers';
        const place = `the queue ${JSON.stringify(names.quarantine)}${without}`;
        this.#host.quarantined(which, `${what}: ${reason}`, place);
        return await channel.settle({ tag: original.deliveryTag }, 'ack');
      } catch (error) {
        const line = `${which} ${what}: ${reason}. It cannot be put in quarantine yet: ${describeError(error)}`;
        if (attempt === 1) log.error(line, { key, id, error });
        // With the reason, the headers exceed a frame.
        if (codeOf((error as Error).cause) === 'CODEC') kept = { ...original, headers: {} };
        await channel.lasts(backoff(undefined, attempt));
      }
    }
    return false;
  }

  #add(copied: Promise<boolean>): Promise<boolean> {
    this.#unconfirmed.add(copied);
    return copied.finally(() => this.#unconfirmed.delete(copied));
  }
}
