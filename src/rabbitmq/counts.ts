import type { Channel } from './client.js';
import { levelName } from './delays.js';
import type { RabbitLink } from './link.js';
import { codeOf } from './rabbitmq-errors.js';

/**
 * Looks how many messages wait in queues. Each look at a queue that is not there ends a channel, so
 * it has channels of its own.
 */
export class Counts {
  readonly #link: RabbitLink;
  readonly #signal: AbortSignal | undefined;
  #channel: Channel | undefined;

  /**
   * @param signal aborts when nobody waits for the counts any more: each look then rejects with its
   * reason
   */
  constructor(link: RabbitLink, signal?: AbortSignal) {
    this.#link = link;
    this.#signal = signal;
  }

  /** How many messages wait in a queue; undefined: there is no such queue. */
  async waiting(queue: string): Promise<number | undefined> {
    return (await this.look(queue))?.messageCount;
  }

  /** How many consumers a queue has, of all processes. */
  async consumers(queue: string): Promise<number> {
    return (await this.look(queue))?.consumerCount ?? 0;
  }

  /**
   * How many messages are in the levels of a delay, which are there from the first one up. Counted
   * from above, the way that messages go: what is handed down meanwhile is rather counted twice
   * than not at all.
   */
  async delayed(delay: string): Promise<number> {
    let sum = 0;
    for (const level of await this.levels(delay)) sum += (await this.waiting(level)) ?? 0;
    return sum;
  }

  /**
   * Returns the names of the levels of a delay, in the order in which messages pass through them.
   */
  async levels(delay: string): Promise<string[]> {
    const names: string[] = [];
    for (let name = levelName(delay, 0); (await this.look(name)) !== undefined; name = levelName(delay, names.length))
      names.unshift(name);
    return names;
  }

  async close(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close();
  }

  /** What a queue has; undefined: there is no such queue. */
  async look(queue: string): Promise<{ readonly messageCount: number; readonly consumerCount: number } | undefined> {
    if (this.#signal?.aborted) {
      await this.close();
      throw this.#signal.reason;
    }
    this.#channel ??= await this.#link.openChannel(() => {
      this.#channel = undefined;
    });
    try {
      return await this.#channel.queueDeclare({ queue, passive: true });
    } catch (error) {
      if (codeOf(error) === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
}
