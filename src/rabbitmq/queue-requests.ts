import type { Channel, QueueCounts, QueueOptions } from './client.js';
import type { RabbitLink } from './link.js';
import { levelName } from './names.js';
import { codeOf } from './rabbitmq-errors.js';

/**
 * Declares, counts, purges and deletes queues over a channel of its own. An error ends the channel,
 * and the next request opens another one.
 */
export class QueueRequests {
  readonly #link: RabbitLink;
  readonly #signal: AbortSignal | undefined;
  #channel: Channel | undefined;

  /** @param signal aborts when the caller gives up: `look` then rejects with its reason */
  constructor(link: RabbitLink, signal?: AbortSignal) {
    this.#link = link;
    this.#signal = signal;
  }

  async send<Answer>(request: (channel: Channel) => Promise<Answer>): Promise<Answer> {
    this.#channel ??= await this.#link.openChannel(() => {
      this.#channel = undefined;
    });
    return request(this.#channel);
  }

  /**
   * Declares a queue. Resolves to whether an older version of Sluice has declared it with other
   * settings. The queue keeps them.
   */
  async declareQueue(options: QueueOptions, older: QueueOptions): Promise<boolean> {
    try {
      await this.send((channel) => channel.queueDeclare(options));
      return false;
    } catch (error) {
      if (codeOf(error) !== 'PRECONDITION_FAILED') throw error;
      await this.send((channel) => channel.queueDeclare(older));
      return true;
    }
  }

  /** Deletes the exchange and the queue of this name, if they exist. */
  async delete(name: string): Promise<void> {
    await this.send((channel) => channel.exchangeDelete({ exchange: name }));
    await this.send((channel) => channel.queueDelete({ queue: name }));
  }

  /** Counts the messages and consumers of a queue. Resolves to undefined if it does not exist. */
  async look(queue: string): Promise<QueueCounts | undefined> {
    if (this.#signal?.aborted) {
      await this.close();
      throw this.#signal.reason;
    }
    try {
      return await this.send((channel) => channel.queueDeclare({ queue, passive: true }));
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  async hasExchange(exchange: string): Promise<boolean> {
    try {
      // The server ignores the type.
      await this.send((channel) => channel.exchangeDeclare({ exchange, type: 'fanout', passive: true }));
      return true;
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return false;
      throw error;
    }
  }

  async countWaiting(queue: string): Promise<number> {
    return (await this.look(queue))?.messageCount ?? 0;
  }

  /** Counts the consumers of a queue, in all processes. */
  async countConsumers(queue: string): Promise<number> {
    return (await this.look(queue))?.consumerCount ?? 0;
  }

  /** Lists the levels of a delay, in the order in which messages pass through them. */
  async levels(delay: string): Promise<string[]> {
    const names: string[] = [];
    for (let name = levelName(delay, 0); (await this.look(name)) !== undefined; name = levelName(delay, names.length))
      names.unshift(name);
    return names;
  }

  /**
   * Counts the messages in the levels of a delay, in the order in which messages pass through them:
   * a message that moves meanwhile is counted twice rather than not at all.
   */
  async countDelayed(delay: string): Promise<number> {
    let sum = 0;
    for (const level of await this.levels(delay)) sum += await this.countWaiting(level);
    return sum;
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close();
  }
}
